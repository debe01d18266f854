//===- PTX.cpp - Kernels to PTX -------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToNVGPU/CQToNVGPU.h"
#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace mlir::cq;

/// What passes said, for the error.
namespace {
struct DiagnosticText {
  explicit DiagnosticText(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          if (said.empty())
            said = diagnostic.str();
          return success();
        }) {}
  std::string said;
  ScopedDiagnosticHandler handler;
};
} // namespace

llvm::Expected<unsigned> cq::parseChip(StringRef chip) {
  StringRef number = chip;
  unsigned architecture = 0;
  if (number.consume_front("sm_") && !number.consumeInteger(10, architecture) &&
      (number.empty() || number == "a") && architecture >= 80 &&
      architecture <= 120)
    return architecture;
  return fail("chip '" + chip +
              "' is not known; name one from sm_80 on, such as sm_80, sm_90 or "
              "sm_90a");
}

void cq::registerDeviceDialects(DialectRegistry &registry) {
  registry.insert<CQDialect, arith::ArithDialect, cf::ControlFlowDialect,
                  gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect,
                  memref::MemRefDialect, nvgpu::NVGPUDialect, NVVM::NVVMDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  registerAllGPUToLLVMIRTranslations(registry);
}

llvm::Expected<OwningOpRef<ModuleOp>>
cq::buildKernels(MLIRContext *context, ArrayRef<nv::MatmulSpec> specs) {
  context->loadAllAvailableDialects();
  OpBuilder b(context);
  Location loc = b.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  (*module)->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                     b.getUnitAttr());
  b.setInsertionPointToEnd(module->getBody());
  auto kernels = gpu::GPUModuleOp::create(b, loc, "cq_kernels");
  for (const nv::MatmulSpec &spec : specs) {
    if (auto sentence = spec.unsupported())
      return fail("no kernel " + spec.name() + ": " + *sentence);
    if (kernels.lookupSymbol(spec.name()))
      continue;
    b.setInsertionPointToEnd(&kernels.getBodyRegion().front());
    nv::buildKernels(b, loc, spec);
  }
  return module;
}

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createMachine(StringRef chip) {
  static bool initialized = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)initialized;
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return fail("this LLVM has no NVPTX back end: " + message);
  // PTX 8.0: the first of sm_90a, and what CUDA 12 reads.
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, chip, "+ptx80", llvm::TargetOptions(), std::nullopt, std::nullopt,
      llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return fail("LLVM cannot make PTX for chip '" + chip + "'");
  return std::move(machine);
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager cycles;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(cycles);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, cycles, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);
}

llvm::Expected<std::string> cq::emitPTX(ModuleOp module, StringRef chip) {
  llvm::Expected<unsigned> architecture = parseChip(chip);
  if (!architecture)
    return architecture.takeError();
  auto machine = createMachine(chip);
  if (!machine)
    return machine.takeError();
  auto kernels = module.getOps<gpu::GPUModuleOp>();
  if (kernels.empty())
    return fail("there are no kernels to compile");

  PassManager pm(module.getContext());
  buildLowerGPUKernelsPipeline(pm);
  DiagnosticText diagnostics(module.getContext());
  if (failed(pm.run(module)))
    return fail("kernels cannot be lowered: " + diagnostics.said);
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code =
      translateModuleToLLVMIR(*kernels.begin(), context, "cq_kernels");
  if (!code)
    return fail("kernels cannot be translated: " + diagnostics.said);
  code->setDataLayout((*machine)->createDataLayout());
  code->setTargetTriple((*machine)->getTargetTriple());
  optimize(*code, **machine);
  llvm::SmallString<0> ptx;
  llvm::raw_svector_ostream os(ptx);
  llvm::legacy::PassManager codegen;
  if ((*machine)->addPassesToEmitFile(codegen, os, nullptr,
                                      llvm::CodeGenFileType::AssemblyFile))
    return fail("LLVM's NVPTX back end emits no text");
  codegen.run(*code);
  return std::string(ptx);
}
