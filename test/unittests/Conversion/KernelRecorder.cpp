//===- KernelRecorder.cpp - Kernels and operands for another CPU ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRecorder.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include <cstdlib>

using namespace mlir;
using namespace mlir::cq::x86::test;

KernelRecorder *KernelRecorder::get() {
  static KernelRecorder *recorder = []() -> KernelRecorder * {
    const char *folder = std::getenv("CQ_RECORD_KERNELS");
    const char *cpu = std::getenv("CQ_RECORD_CPU");
    // Lives until the process ends.
    return folder && cpu ? new KernelRecorder(folder, cpu) : nullptr;
  }();
  return recorder;
}

KernelRecorder::KernelRecorder(std::string folder, std::string cpu)
    : folder(std::move(folder)), cpu(std::move(cpu)) {}

bool KernelRecorder::fail(const llvm::Twine &what) {
  llvm::errs() << "recording kernels: " << what << '\n';
  return false;
}

void KernelRecorder::describe(ModuleOp module) {
  elementBytes.clear();
  for (auto func : module.getOps<func::FuncOp>())
    for (Type type : func.getArgumentTypes())
      if (auto memref = dyn_cast<MemRefType>(type))
        elementBytes[func.getName()].push_back(
            (memref.getElementTypeBitWidth() + 7) / 8);
}

bool KernelRecorder::compile(ModuleOp module) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(module, context);
  if (!code)
    return fail("no LLVM IR");
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return fail(error);
  // What lib/Execution/CodeGenerator.cpp asks for.
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, cpu, "", options, llvm::Reloc::PIC_));
  bool wide = machine->getMCSubtargetInfo()->checkFeatures("+avx512f");
  code->setTargetTriple(triple);
  code->setDataLayout(machine->createDataLayout());
  for (llvm::Function &function : *code)
    if (!function.isDeclaration()) {
      function.addFnAttr("target-cpu", cpu);
      function.addFnAttr("prefer-vector-width", wide ? "512" : "256");
    }
  if (llvm::Error failed =
          makeOptimizingTransformer(2, 0, machine.get())(code.get()))
    return fail(llvm::toString(std::move(failed)));

  std::string prefix = "m" + std::to_string(modules) + "_";
  std::error_code status;
  llvm::raw_fd_ostream names(folder + "/symbols.txt", status,
                             llvm::sys::fs::OF_Append);
  if (status)
    return fail("symbols.txt: " + status.message());
  symbolOf.clear();
  for (llvm::Function &function : *code) {
    if (function.isDeclaration())
      continue;
    llvm::StringRef kernel = function.getName();
    if (kernel.consume_front("_mlir_ciface_")) {
      symbolOf[kernel] = symbols++;
      names << prefix << function.getName() << '\n';
    }
    function.setName(prefix + function.getName());
  }
  llvm::raw_fd_ostream object(folder + "/m" + std::to_string(modules++) + ".o",
                              status);
  if (status)
    return fail("object file: " + status.message());
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, object, nullptr,
                                   llvm::CodeGenFileType::ObjectFile))
    return fail("no object files for this target");
  passes.run(*code);
  return true;
}

void KernelRecorder::call(llvm::StringRef kernel,
                          llvm::ArrayRef<Argument> memrefs, int64_t begin,
                          int64_t end) {
  int64_t called = symbolOf.lookup(kernel);
  bool same = !closed && called == symbol && memrefs.size() == operands.size();
  for (size_t i = 0; same && i < memrefs.size(); ++i)
    same = memrefs[i].data == operands[i].address;
  if (!same) {
    finish();
    symbol = called;
    closed = false;
    for (auto [memref, bytes] : llvm::zip(memrefs, elementBytes[kernel])) {
      int64_t size = memref.data ? bytes : 0;
      for (int64_t dim : memref.shape)
        size *= dim;
      operands.push_back({memref.shape,
                          memref.data,
                          std::string(static_cast<char *>(memref.data), size),
                          {}});
    }
  }
  ranges.push_back({begin, end});
}

void KernelRecorder::expect(size_t memref, const void *bytes, int64_t size) {
  operands[memref].expected.assign(static_cast<const char *>(bytes), size);
  closed = true;
}

void KernelRecorder::finish() {
  if (operands.empty())
    return;
  std::error_code status;
  llvm::raw_fd_ostream out(folder + "/cases.bin", status,
                           llvm::sys::fs::OF_Append);
  if (status) {
    fail("cases.bin: " + status.message());
    std::abort();
  }
  auto number = [&](int64_t value) {
    out.write(reinterpret_cast<const char *>(&value), sizeof(value));
  };
  number(symbol);
  number(operands.size());
  number(ranges.size());
  for (auto [begin, end] : ranges) {
    number(begin);
    number(end);
  }
  for (const Operand &operand : operands) {
    number(operand.shape.size());
    for (int64_t dim : operand.shape)
      number(dim);
    number(operand.data.size());
    number(operand.expected.size());
    out << operand.data << operand.expected;
  }
  operands.clear();
  ranges.clear();
}
