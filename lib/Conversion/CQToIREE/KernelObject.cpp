//===- KernelObject.cpp - Our kernels as object code for IREE -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelObject.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/TargetCPU.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::toiree;

llvm::Expected<KernelObject> KernelObject::create(MLIRContext *context,
                                                  StringRef cpu) {
  KernelObject object;
  object.module = ModuleOp::create(UnknownLoc::get(context));
  auto features = featuresOf(cpu);
  if (!features)
    return fail("there is no x86 CPU " + quoted(cpu) +
                "; name one as LLVM does, or host");
  // A process has to ask for tile registers, and IREE's does not.
  features->erase("amx-tile");
  object.level = x86::ISA::fromFeatures(*features);
  object.cpu = cpu.str();
  if (cpu == "host") {
    object.cpu = llvm::sys::getHostCPUName().str();
    object.features = hostFeatureString();
  }
  return object;
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

/// A memref over `pointer`; the descriptor is what memref's lowering expects.
static Value makeMemRef(OpBuilder &b, Location loc, Value pointer,
                        MemRefType type) {
  Type i64 = b.getI64Type();
  int64_t rank = type.getRank();
  auto array = LLVM::LLVMArrayType::get(i64, rank);
  auto structure = LLVM::LLVMStructType::getLiteral(
      b.getContext(),
      {pointer.getType(), pointer.getType(), i64, array, array});
  auto number = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, loc, i64, value);
  };
  auto [strides, offset] = type.getStridesAndOffset();
  Value d = LLVM::PoisonOp::create(b, loc, structure);
  auto insert = [&](Value value, ArrayRef<int64_t> at) {
    d = LLVM::InsertValueOp::create(b, loc, d, value, at);
  };
  insert(pointer, 0);
  insert(pointer, 1);
  insert(number(0), 2);
  for (int64_t i = 0; i < rank; ++i) {
    insert(number(type.getDimSize(i)), {3, i});
    insert(number(strides[i]), {4, i});
  }
  return UnrealizedConversionCastOp::create(b, loc, type, d).getResult(0);
}

std::string KernelObject::entry(const x86::MatmulSpec &spec, int64_t stride) {
  std::string name = "iree_" + spec.name();
  if (!entries.try_emplace(name, true).second)
    return name;
  MLIRContext *context = module->getContext();
  Location loc = module->getLoc();
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  x86::MatmulTypes types = x86::MatmulTypes::get(context, spec);
  types.y = MemRefType::get({spec.m, spec.weight.n}, b.getF32Type(),
                            StridedLayoutAttr::get(context, 0, {stride, 1}));
  func::FuncOp kernel =
      x86::buildMatmulKernel(b, loc, spec.name(), spec, types);
  kernel.setPrivate();

  SmallVector<MemRefType> buffers;
  for (MemRefType type :
       {types.x, types.activationCodes, types.activationScales,
        types.activationSums, types.codes, types.scales, types.zeros,
        types.cherryColumns, types.cherryDeltas, types.y})
    if (type)
      buffers.push_back(type);
  Type pointer = LLVM::LLVMPointerType::get(context);
  Type index = b.getIndexType();
  SmallVector<Type> arguments;
  for (size_t i = 0; i < buffers.size(); ++i)
    arguments.append({pointer, b.getI64Type()});
  arguments.append({index, index});
  b.setInsertionPointToEnd(module->getBody());
  auto function =
      func::FuncOp::create(b, loc, name, b.getFunctionType(arguments, {}));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  Value first = body->getArgument(arguments.size() - 2);
  Value count = body->getArgument(arguments.size() - 1);
  Value row = UnrealizedConversionCastOp::create(b, loc, b.getI64Type(), first)
                  .getResult(0);
  SmallVector<Value> operands;
  for (auto [i, type] : llvm::enumerate(buffers)) {
    Value offset = body->getArgument(2 * i + 1);
    // IREE hands over the part of y that is this call's; the kernel counts
    // from the weight's first row.
    if (i + 1 == buffers.size())
      offset = LLVM::SubOp::create(b, loc, offset, row);
    Value at = LLVM::GEPOp::create(
        b, loc, pointer, type.getElementType(), body->getArgument(2 * i),
        ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(offset)});
    operands.push_back(makeMemRef(b, loc, at, type));
  }
  Value sixteen = arith::ConstantIndexOp::create(b, loc, 16);
  Value begin = arith::DivUIOp::create(b, loc, first, sixteen);
  operands.push_back(begin);
  operands.push_back(arith::AddIOp::create(b, loc, begin, count));
  func::CallOp::create(b, loc, kernel, operands);
  func::ReturnOp::create(b, loc);
  return name;
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

static void addLowering(PassManager &pm) {
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addNestedPass<func::FuncOp>(arith::createArithExpandOpsPass());
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
bareMachine(StringRef cpu, StringRef features) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  // What IREE's embedded loader links: no operating system, no libc.
  llvm::Triple triple("x86_64-unknown-unknown-elf");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return fail("no code generator for " + triple.str() + ": " + message);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpu, features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
      llvm::CodeGenOptLevel::Aggressive));
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);
}

llvm::Expected<llvm::SmallString<0>> KernelObject::compile() {
  PassManager pm(module->getContext());
  addLowering(pm);
  if (failed(pm.run(*module)))
    return fail("the kernels could not be lowered (see the messages above)");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code =
      translateModuleToLLVMIR(*module, context);
  if (!code)
    return fail("the kernels could not be translated to LLVM IR");
  auto machine = bareMachine(cpu, features);
  if (!machine)
    return machine.takeError();
  code->setTargetTriple((*machine)->getTargetTriple());
  code->setDataLayout((*machine)->createDataLayout());
  code->setPICLevel(llvm::PICLevel::BigPIC);
  std::string width = std::to_string(8 * level.vectorBytes());
  for (llvm::Function &function : *code) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", cpu);
    function.addFnAttr("target-features", features);
    function.addFnAttr("prefer-vector-width", width);
    // Nothing may become a call of memset or memcpy.
    function.addFnAttr("no-builtins");
    if (!entries.contains(function.getName()))
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  optimize(*code, **machine);
  for (llvm::Function &function : *code)
    if (function.isDeclaration() && !function.isIntrinsic() &&
        !function.use_empty())
      return fail("a kernel calls " + quoted(function.getName()) +
                  ", which IREE's loader does not have");
  llvm::SmallString<0> object;
  llvm::raw_svector_ostream os(object);
  llvm::legacy::PassManager codegen;
  if ((*machine)->addPassesToEmitFile(codegen, os, nullptr,
                                      llvm::CodeGenFileType::ObjectFile))
    return fail("this LLVM cannot write object code");
  codegen.run(*code);
  return object;
}
