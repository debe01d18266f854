//===- LibraryCode.cpp - The C interface of a compiled library ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LibraryCode.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;

namespace {
/// A function of the library that calls one of the runtime's with the same
/// arguments (`open` also with the table).
struct Forwarder {
  const char *name, *runtime;
  const char *signature; ///< result, then arguments: p pointer, i i32, l i64
};
} // namespace

static const Forwarder forwarders[] = {
    {"open", "cq_model_open", "pp"},
    {"close", "cq_model_close", "vp"},
    {"prefill", "cq_model_prefill", "ipplp"},
    {"decode", "cq_model_decode", "ipip"},
    {"reset", "cq_model_reset", "vp"},
    {"position", "cq_model_position", "lp"},
    {"cpu", "cq_model_cpu", "pp"},
    {"error", "cq_model_error", "p"},
    {"set_threads", "cq_set_threads", "vi"},
};

static llvm::Type *typeOf(llvm::LLVMContext &context, char letter) {
  switch (letter) {
  case 'i':
    return llvm::Type::getInt32Ty(context);
  case 'l':
    return llvm::Type::getInt64Ty(context);
  case 'p':
    return llvm::PointerType::get(context, 0);
  default:
    return llvm::Type::getVoidTy(context);
  }
}

namespace {
/// Writes constants of the runtime's cq_model_code.
class TableBuilder {
public:
  explicit TableBuilder(llvm::Module &module)
      : module(module), context(module.getContext()) {}

  llvm::Constant *number(int64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getInt64Ty(context), value);
  }
  llvm::Constant *text(llvm::StringRef value) {
    return global(llvm::ConstantDataArray::getString(context, value));
  }
  llvm::Constant *numbers(llvm::ArrayRef<int64_t> values) {
    llvm::ArrayRef<uint64_t> words(
        reinterpret_cast<const uint64_t *>(values.data()), values.size());
    return global(llvm::ConstantDataArray::get(context, words));
  }
  llvm::Constant *structure(llvm::ArrayRef<llvm::Constant *> fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }
  llvm::Constant *array(llvm::ArrayRef<llvm::Constant *> entries) {
    return global(llvm::ConstantArray::get(
        llvm::ArrayType::get(entries[0]->getType(), entries.size()), entries));
  }
  llvm::GlobalVariable *global(llvm::Constant *value) {
    return new llvm::GlobalVariable(module, value->getType(),
                                    /*isConstant=*/true,
                                    llvm::GlobalValue::PrivateLinkage, value);
  }

private:
  llvm::Module &module;
  llvm::LLVMContext &context;
};
} // namespace

/// `next`: the table for the next CPU, or null.
static llvm::Constant *
addTable(llvm::Module &module, const CompiledLibrary &library,
         const CompiledLibrary::Code &code, const LanguageFunctions &functions,
         const WeightsMap &weights, llvm::Constant *next) {
  TableBuilder b(module);
  // Functions of this module, or of objects linked with it.
  auto entry = [&](const FunctionInfo *function) -> llvm::Constant * {
    std::string name = function->entryPoint + code.suffix;
    if (llvm::Function *known = module.getFunction(name))
      return known;
    auto *declared = llvm::Function::Create(
        llvm::FunctionType::get(llvm::Type::getVoidTy(module.getContext()),
                                false),
        llvm::GlobalValue::ExternalLinkage, name, module);
    declared->setVisibility(llvm::GlobalValue::HiddenVisibility);
    return declared;
  };
  llvm::SmallVector<llvm::Constant *> chunks;
  for (const ChunkFunctions &chunk : functions.chunks)
    chunks.push_back(b.structure(
        {b.number(chunk.tokens), entry(chunk.forward), entry(chunk.logits)}));
  const SessionShape &shape = functions.shape;
  llvm::Constant *fields[] = {
      b.number(CQ_MODEL_CODE_VERSION),
      b.text(llvm::sys::path::filename(library.library)),
      b.text(code.cpu),
      b.text(code.features),
      b.number(chunks.size()),
      b.array(chunks),
      b.number(shape.width),
      b.number(shape.vocabulary),
      b.number(shape.context),
      b.number(shape.keys),
      b.number(shape.values),
      b.number(weights.offsets.size()),
      b.numbers(weights.offsets),
      b.number(weights.fileBytes),
      b.number(weights.headBytes),
      b.number(static_cast<int64_t>(weights.headHash)),
      next};
  return b.global(b.structure(fields));
}

void mlir::cq::addLibraryInterface(llvm::Module &module,
                                   const CompiledLibrary &library,
                                   const LanguageFunctions &functions,
                                   const WeightsMap &weights) {
  llvm::Constant *table = llvm::ConstantPointerNull::get(
      llvm::PointerType::get(module.getContext(), 0));
  for (const CompiledLibrary::Code &code : llvm::reverse(library.codes))
    table = addTable(module, library, code, functions, weights, table);
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  llvm::LLVMContext &context = module.getContext();
  for (const Forwarder &forwarder : forwarders) {
    llvm::StringRef signature = forwarder.signature;
    llvm::SmallVector<llvm::Type *> types;
    for (char letter : signature.drop_front())
      types.push_back(typeOf(context, letter));
    llvm::Type *result = typeOf(context, signature[0]);
    auto *function =
        llvm::Function::Create(llvm::FunctionType::get(result, types, false),
                               llvm::GlobalValue::ExternalLinkage,
                               library.name + "_" + forwarder.name, module);
    llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", function));
    llvm::SmallVector<llvm::Value *> arguments;
    if (llvm::StringRef(forwarder.name) == "open") {
      types.insert(types.begin(), typeOf(context, 'p'));
      arguments.push_back(table);
    }
    for (llvm::Argument &argument : function->args())
      arguments.push_back(&argument);
    llvm::Value *call = b.CreateCall(
        module.getOrInsertFunction(
            forwarder.runtime, llvm::FunctionType::get(result, types, false)),
        arguments);
    result->isVoidTy() ? b.CreateRetVoid() : b.CreateRet(call);
  }
}

//===----------------------------------------------------------------------===//
// The header
//===----------------------------------------------------------------------===//

/// "the CPU 'haswell'", "the CPUs 'znver4', 'haswell'"
static std::string describeCPUs(const CompiledLibrary &library) {
  std::string names =
      llvm::join(llvm::map_range(library.codes,
                                 [](const CompiledLibrary::Code &code) {
                                   return "'" + code.cpu + "'";
                                 }),
                 ", ");
  return (library.codes.size() > 1 ? "the CPUs " : "the CPU ") + names;
}

std::string mlir::cq::printLibraryHeader(const CompiledLibrary &library,
                                         const LanguageFunctions &functions,
                                         const WeightsMap &weights) {
  std::string text;
  llvm::raw_string_ostream os(text);
  const SessionShape &shape = functions.shape;
  std::string upper = llvm::StringRef(library.name).upper();
  const std::string &p = library.name;
  llvm::StringRef file = llvm::sys::path::filename(library.library);
  os << "/* " << llvm::sys::path::filename(library.header)
     << ": a language model compiled by `cq compile` for "
     << describeCPUs(library) << ".\n"
     << "   Weights: " << weights.path << "\n"
     << "   Link with " << file << ", libcq_runtime and libm:\n"
     << "     cc program.c " << file << " -lcq_runtime -lm\n"
     << "   One thread at a time may use a model; models of one process share "
        "the threads. */\n\n"
     << "#ifndef CQ_LIBRARY_" << upper << "_H\n#define CQ_LIBRARY_" << upper
     << "_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n"
     << "#endif\n\n"
     << "enum {\n  " << upper << "_VOCABULARY = " << shape.vocabulary
     << ", /* numbers in a row of logits */\n  " << upper
     << "_CONTEXT = " << shape.context
     << " /* tokens a text may have */\n};\n\n"
     << "typedef struct cq_model cq_model;\n\n"
     << "/* Maps the weights and makes empty key/value caches. NULL on error.\n"
     << "   The file may be any of the same tensors, say of a tuned model. */\n"
     << "cq_model *" << p << "_open(const char *weights);\n"
     << "void " << p << "_close(cq_model *model);\n\n"
     << "/* Takes `count` tokens; `logits` [" << upper
     << "_VOCABULARY] say what follows the last one.\n"
     << "   0, or -1 on error, and then nothing was taken. */\n"
     << "int " << p
     << "_prefill(cq_model *model, const int32_t *tokens, int64_t count,\n"
     << "    float *logits);\n"
     << "/* The same for one token. */\n"
     << "int " << p
     << "_decode(cq_model *model, int32_t token, float *logits);\n"
     << "/* Forgets all tokens. */\n"
     << "void " << p << "_reset(cq_model *model);\n"
     << "/* The CPU whose code runs. */\n"
     << "const char *" << p << "_cpu(const cq_model *model);\n"
     << "/* Tokens taken since. */\n"
     << "int64_t " << p << "_position(const cq_model *model);\n\n"
     << "/* What went wrong last in this thread, one sentence. */\n"
     << "const char *" << p << "_error(void);\n"
     << "/* Threads from the next call on; below 1: one for each CPU (the "
        "default). The\n   results do not depend on it. */\n"
     << "void " << p << "_set_threads(int threads);\n\n"
     << "#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
  return text;
}
