//===- cq-gpu-run.cpp - Runs a GPU kernel on the host ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include <cstring>

using namespace mlir;
namespace cl = llvm::cl;

static cl::OptionCategory category("cq-gpu-run options");
static cl::opt<std::string> input(cl::Positional, cl::desc("<file.mlir>"),
                                  cl::init("-"), cl::cat(category));
static cl::opt<std::string>
    kernelName("kernel",
               cl::desc("gpu.func to run; needed when there are more"),
               cl::cat(category));
static cl::list<int64_t> grid("grid", cl::CommaSeparated,
                              cl::desc("Blocks: x,y,z (default 1,1,1)"),
                              cl::cat(category));
static cl::list<int64_t> block("block", cl::CommaSeparated,
                               cl::desc("Threads: x,y,z (default 32,1,1)"),
                               cl::cat(category));
static cl::opt<int64_t> sharedBytes("shared",
                                    cl::desc("Bytes of dynamic shared memory"),
                                    cl::init(0), cl::cat(category));
static cl::list<std::string> arguments(
    "arg",
    cl::desc("One for each parameter, in order: a number for a scalar; for a "
             "buffer [SHAPE:]CONTENT with SHAPE (AxBx…) the dynamic sizes, or "
             "for pointers bytes, and CONTENT one of zero, undef (reading it "
             "is an error), fill(V), iota(SCALE), cycle(N) (0 … N-1 again and "
             "again), random(SEED) (multiples of 1/64 in [-1, 1], or all "
             "integers); a 'const ' in front makes it read-only"),
    cl::cat(category));
static cl::list<unsigned>
    printed("print", cl::CommaSeparated,
            cl::desc("Parameters to print after the launch, by number"),
            cl::cat(category));
static cl::opt<unsigned>
    seeds("seeds",
          cl::desc("Launches, each with another schedule; all must "
                   "give the same bytes"),
          cl::init(4), cl::cat(category));
static cl::opt<bool> statistics("counts",
                                cl::desc("Print operations and barriers"),
                                cl::cat(category));

namespace {
/// An argument as given, and the memory behind it.
struct Buffer {
  Type type; ///< of an element; null for scalars
  std::vector<uint8_t> bytes;
  SmallVector<int64_t> shape;
};
} // namespace

static LogicalResult fail(const llvm::Twine &message) {
  llvm::errs() << "cq-gpu-run: " << message << '\n';
  return failure();
}

static const llvm::fltSemantics *semanticsOf(Type type) {
  auto number = dyn_cast<FloatType>(type);
  return number ? &number.getFloatSemantics() : nullptr;
}

static uint64_t encode(double value, Type type) {
  const llvm::fltSemantics *semantics = semanticsOf(type);
  if (!semantics)
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  bool inexact;
  APFloat number(value);
  number.convert(*semantics, APFloat::rmNearestTiesToEven, &inexact);
  return number.bitcastToAPInt().getZExtValue();
}

static double decode(uint64_t bits, Type type) {
  const llvm::fltSemantics *semantics = semanticsOf(type);
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  if (!semantics)
    return static_cast<double>(APInt(width, bits, false, true).getSExtValue());
  APFloat number(*semantics, APInt(width, bits, false, true));
  bool inexact;
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &inexact);
  return number.convertToDouble();
}

static LogicalResult fillBuffer(StringRef content, Buffer &buffer,
                                cq::GPUArgument &argument) {
  unsigned width =
      buffer.type.isIndex() ? 8 : (buffer.type.getIntOrFloatBitWidth() + 7) / 8;
  StringRef name = content.take_until([](char c) { return c == '('; });
  double parameter = 1;
  if (name.size() != content.size()) {
    StringRef text = content.drop_front(name.size() + 1);
    if (!text.consume_back(")") || text.getAsDouble(parameter))
      return fail("'" + content + "' is no content of a buffer");
  }
  if (!llvm::is_contained({"zero", "undef", "fill", "iota", "cycle", "random"},
                          name))
    return fail("'" + content + "' is no content of a buffer");
  argument.uninitialised = name == "undef";
  uint64_t state = static_cast<uint64_t>(parameter) * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i != buffer.bytes.size() / width; ++i) {
    double value = 0;
    if (name == "fill")
      value = parameter;
    else if (name == "iota")
      value = static_cast<double>(i) * parameter;
    else if (name == "cycle")
      value = static_cast<double>(
          i % static_cast<uint64_t>(std::max(1.0, parameter)));
    uint64_t bits = encode(value, buffer.type);
    if (name == "random") {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bits = semanticsOf(buffer.type)
                 ? encode((static_cast<double>((state >> 33) % 129) - 64) / 64,
                          buffer.type)
                 : state >> 16;
    }
    std::memcpy(buffer.bytes.data() + i * width, &bits, width);
  }
  return success();
}

static LogicalResult makeArgument(StringRef text, Type type, Buffer &buffer,
                                  cq::GPUArgument &argument) {
  argument.readOnly = text.consume_front("const ");
  auto memref = dyn_cast<MemRefType>(type);
  bool pointer = isa<LLVM::LLVMPointerType>(type);
  if (!memref && !pointer) {
    double value;
    if (!type.isIntOrIndexOrFloat() || text.getAsDouble(value))
      return fail("'" + text + "' is no number");
    argument.scalar = encode(value, type);
    return success();
  }
  auto [shape, content] = text.split(':');
  if (content.empty())
    std::swap(shape, content);
  SmallVector<int64_t> given;
  while (!shape.empty()) {
    auto [size, rest] = shape.split('x');
    int64_t number;
    if (size.getAsInteger(10, number) || number < 0 || number > 1 << 30)
      return fail("'" + text + "' has no good shape");
    given.push_back(number);
    shape = rest;
  }
  buffer.type = pointer ? IntegerType::get(type.getContext(), 8)
                        : memref.getElementType();
  if (memref) {
    buffer.shape.assign(memref.getShape().begin(), memref.getShape().end());
    size_t next = 0;
    for (int64_t &size : buffer.shape)
      if (ShapedType::isDynamic(size) && next != given.size())
        size = given[next++];
    if (next != given.size() ||
        llvm::any_of(buffer.shape, ShapedType::isDynamic))
      return fail("'" + text + "' gives " + Twine(given.size()) +
                  " dynamic sizes, which the parameter does not have");
    argument.dynamicSizes.assign(given.begin(), given.end());
  } else {
    buffer.shape = given;
  }
  if (!buffer.type.isIntOrIndexOrFloat())
    return fail("only buffers of scalars can be passed");
  int64_t elements = 1;
  for (int64_t size : buffer.shape)
    if (__builtin_mul_overflow(elements, size, &elements) ||
        elements > int64_t(1) << 31)
      return fail("'" + text + "' is too large");
  buffer.bytes.resize(elements *
                      (buffer.type.isIndex()
                           ? 8
                           : (buffer.type.getIntOrFloatBitWidth() + 7) / 8));
  argument.bytes = buffer.bytes;
  return fillBuffer(content, buffer, argument);
}

static void print(unsigned index, const Buffer &buffer) {
  unsigned width =
      buffer.type.isIndex() ? 8 : (buffer.type.getIntOrFloatBitWidth() + 7) / 8;
  size_t row = buffer.shape.size() > 1 ? buffer.shape.back() : 16;
  llvm::outs() << "argument " << index << ":\n";
  for (size_t i = 0; i != buffer.bytes.size() / width; ++i) {
    uint64_t bits = 0;
    std::memcpy(&bits, buffer.bytes.data() + i * width, width);
    if (isa<FloatType>(buffer.type))
      llvm::outs() << llvm::format("%.6g", decode(bits, buffer.type));
    else
      llvm::outs() << static_cast<int64_t>(decode(bits, buffer.type));
    llvm::outs() << ((i + 1) % row == 0 ? '\n' : ' ');
  }
  if ((buffer.bytes.size() / width) % row)
    llvm::outs() << '\n';
}

static FailureOr<Operation *> findKernel(ModuleOp module) {
  SmallVector<gpu::GPUFuncOp> found;
  module.walk([&](gpu::GPUFuncOp kernel) {
    if (kernelName.empty() ? kernel.isKernel() : kernel.getName() == kernelName)
      found.push_back(kernel);
  });
  if (found.size() == 1)
    return found.front().getOperation();
  if (kernelName.empty())
    return fail("the file has " + Twine(found.size()) +
                " kernels; choose one with --kernel=NAME");
  return fail("the file has no kernel '" + kernelName + "'");
}

static LogicalResult run(ModuleOp module) {
  FailureOr<Operation *> kernel = findKernel(module);
  if (failed(kernel))
    return failure();
  cq::GPULaunch launch;
  launch.dynamicSharedBytes = sharedBytes;
  if (grid.size() > 3 || block.size() > 3)
    return fail("--grid and --block take up to three numbers");
  llvm::copy(grid, launch.grid.begin());
  llvm::copy(block, launch.block.begin());
  auto function = cast<gpu::GPUFuncOp>(*kernel);
  if (arguments.size() != function.getNumArguments())
    return fail("'" + function.getName() + "' has " +
                Twine(function.getNumArguments()) +
                " parameters, --arg gives " + Twine(arguments.size()));
  std::vector<Buffer> first;
  cq::GPULaunchStatistics counts;
  for (unsigned seed = 0; seed != std::max(1u, unsigned(seeds)); ++seed) {
    std::vector<Buffer> buffers(arguments.size());
    launch.arguments.assign(arguments.size(), {});
    for (unsigned i = 0; i != arguments.size(); ++i)
      if (failed(makeArgument(arguments[i], function.getArgument(i).getType(),
                              buffers[i], launch.arguments[i])))
        return failure();
    launch.seed = seed;
    if (failed(cq::runGPUKernel(*kernel, launch, &counts)))
      return failure();
    if (seed == 0)
      first = std::move(buffers);
    else
      for (unsigned i = 0; i != first.size(); ++i)
        if (first[i].bytes != buffers[i].bytes)
          return fail("argument " + Twine(i) +
                      " depends on the schedule (seeds 0 and " + Twine(seed) +
                      ")");
  }
  for (unsigned index : printed) {
    if (index >= first.size() || !first[index].type)
      return fail("--print=" + Twine(index) + " names no buffer");
    print(index, first[index]);
  }
  if (statistics)
    llvm::outs() << "steps: " << counts.steps
                 << "\nbarriers: " << counts.barriers
                 << "\nshared bytes: " << counts.sharedBytes << '\n';
  return success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "Runs a gpu.func on the host and reports races, reads before a barrier "
      "or a wait,\nuninitialised reads, accesses out of bounds and divergent "
      "barriers as errors.\n\nExample:\n  cq-gpu-run gemm.mlir --grid=2 "
      "--block=64 --arg='const random(1)' --arg=undef --print=1\n");
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect, cq::CQDialect,
                  func::FuncDialect, gpu::GPUDialect, LLVM::LLVMDialect,
                  NVVM::NVVMDialect, math::MathDialect, memref::MemRefDialect,
                  nvgpu::NVGPUDialect, scf::SCFDialect, ub::UBDialect,
                  vector::VectorDialect>();
  MLIRContext context(registry);
  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInputFile(input, &message);
  if (!buffer)
    return failed(fail(message));
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  SourceMgrDiagnosticHandler handler(sources, &context);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  return failed(module ? run(*module) : failure());
}
