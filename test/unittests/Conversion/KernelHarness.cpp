//===- KernelHarness.cpp - Compiles generated kernels and calls them ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"
#include "KernelRecorder.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include <cstring>
#include <sys/mman.h>

using namespace mlir;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

static constexpr int64_t kPage = 4096;

GuardedBuffer::GuardedBuffer(int64_t bytes) : bytes(bytes) {
  mapped = (bytes + kPage - 1) / kPage * kPage + kPage;
  mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *guard = static_cast<char *>(mapping) + mapped - kPage;
  mprotect(guard, kPage, PROT_NONE);
  data = guard - bytes;
}
GuardedBuffer::GuardedBuffer(const void *from, int64_t bytes)
    : GuardedBuffer(bytes) {
  if (bytes)
    std::memcpy(data, from, bytes);
}
GuardedBuffer::GuardedBuffer(GuardedBuffer &&other) noexcept
    : data(other.data), mapping(other.mapping), bytes(other.bytes),
      mapped(other.mapped) {
  other.mapping = nullptr;
}
GuardedBuffer::~GuardedBuffer() {
  if (mapping)
    munmap(mapping, mapped);
}

KernelHarness::KernelHarness() {
  static bool initialized = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)initialized;
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  ctx.appendDialectRegistry(registry);
  ctx.loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect,
                  memref::MemRefDialect, scf::SCFDialect,
                  vector::VectorDialect>();
  owned = ModuleOp::create(UnknownLoc::get(&ctx));
}
KernelHarness::~KernelHarness() {
  if (KernelRecorder *recorder = KernelRecorder::get())
    recorder->finish();
}

OpBuilder KernelHarness::builder() {
  return OpBuilder::atBlockEnd(owned->getBody());
}

bool KernelHarness::compile() {
  for (auto func : owned->getOps<func::FuncOp>())
    func->setAttr("llvm.emit_c_interface", UnitAttr::get(&ctx));
  if (failed(verify(*owned)))
    return false;
  KernelRecorder *recorder = KernelRecorder::get();
  if (recorder)
    recorder->describe(*owned);
  PassManager pm(&ctx);
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(*owned)))
    return false;
  if (recorder)
    return recorder->compile(*owned);
  auto fail = [](llvm::Error error) {
    llvm::errs() << llvm::toString(std::move(error)) << '\n';
    return false;
  };
  auto target = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!target)
    return fail(target.takeError());
  auto machine = target->createTargetMachine();
  if (!machine)
    return fail(machine.takeError());
  ExecutionEngineOptions options;
  auto optimize = makeOptimizingTransformer(2, 0, machine->get());
  options.transformer = optimize;
  auto created = ExecutionEngine::create(*owned, options, std::move(*machine));
  if (!created)
    return fail(created.takeError());
  engine = std::move(*created);
  engine->initialize();
  return true;
}

std::function<void(int64_t, int64_t)>
KernelHarness::bind(llvm::StringRef kernel, llvm::ArrayRef<Argument> memrefs) {
  auto function = engine->lookupPacked(("_mlir_ciface_" + kernel).str());
  if (!function) {
    llvm::errs() << llvm::toString(function.takeError()) << '\n';
    return nullptr;
  }
  // pointer, pointer, offset, sizes, strides
  auto descriptors = std::make_shared<std::vector<std::vector<int64_t>>>();
  for (const Argument &argument : memrefs) {
    int64_t address = reinterpret_cast<int64_t>(argument.data);
    std::vector<int64_t> words{address, address, 0};
    words.insert(words.end(), argument.shape.begin(), argument.shape.end());
    int64_t rank = argument.shape.size(), stride = 1;
    words.resize(3 + 2 * rank);
    for (int64_t i = rank - 1; i >= 0; stride *= argument.shape[i--])
      words[3 + rank + i] = stride;
    descriptors->push_back(std::move(words));
  }
  return [descriptors, call = *function](int64_t begin, int64_t end) {
    llvm::SmallVector<void *, 16> pointers, packed;
    for (auto &words : *descriptors)
      pointers.push_back(words.data());
    for (void *&pointer : pointers)
      packed.push_back(&pointer);
    packed.push_back(&begin);
    packed.push_back(&end);
    call(packed.data());
  };
}

bool KernelHarness::call(llvm::StringRef kernel,
                         llvm::ArrayRef<Argument> memrefs, int64_t begin,
                         int64_t end) {
  called.assign(memrefs.begin(), memrefs.end());
  if (KernelRecorder *recorder = KernelRecorder::get()) {
    recorder->call(kernel, memrefs, begin, end);
    return true;
  }
  auto bound = bind(kernel, memrefs);
  if (bound)
    bound(begin, end);
  return static_cast<bool>(bound);
}

bool KernelHarness::holds(size_t memref, const void *bytes, int64_t size) {
  if (KernelRecorder *recorder = KernelRecorder::get()) {
    recorder->expect(memref, bytes, size);
    return true;
  }
  return std::memcmp(called[memref].data, bytes, size) == 0;
}

bool KernelHarness::canRun(ISA isa) {
  return isa.runsOnHost() || (KernelRecorder::get() && !isa.emulated);
}
