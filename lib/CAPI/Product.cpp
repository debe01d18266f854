//===- Product.cpp - C API: products with packed weights ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Code depends on shape, scheme, layout and cherries alone: weights of one kind
// share it, whatever their numbers.
//
//===----------------------------------------------------------------------===//

#include "Guard.h"
#include "Handles.h"
#include "cq-c/Weight.h"
#include "cq/Codec/ReferenceGemm.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/ChunkChoice.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringMap.h"
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::capi;

/// Rows of x that code is made for. Fewer are padded where that costs less.
static constexpr int64_t kSizes[] = {1, 8, 64};

namespace {
struct Code {
  std::unique_ptr<CompiledModule> module;
  void *function = nullptr;
  std::mutex mutex; ///< a module runs in one thread at a time
};

struct FreeMemory {
  void operator()(uint8_t *memory) const { std::free(memory); }
};
using AlignedPlane = std::unique_ptr<uint8_t, FreeMemory>;
} // namespace

struct CqProduct_ {
  int64_t n, k;
  std::vector<AlignedPlane>
      planes; ///< those that exist, as the code's arguments
  std::array<std::string, std::size(kSizes)> sources;
  std::array<std::shared_ptr<Code>, std::size(kSizes)> codes;
  std::string activation;
  std::vector<float> x, y; ///< of a padded call
};

/// func.func @product(x [m, k], planes…) -> [m, n], as text.
static llvm::Expected<std::string> writeProduct(const PackedWeight &weight,
                                                int64_t m) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<CQDialect, func::FuncDialect, tensor::TensorDialect>();
  auto scheme = SchemeAttr::get(&context, weight.scheme);
  auto layout = LayoutAttr::get(&context, weight.layout);
  CherriesAttr cherries;
  if (weight.cherries.form != CherryForm::None)
    cherries = CherriesAttr::get(&context, weight.cherries);
  auto types =
      PlaneTypes::get(&context, weight.n, weight.k, scheme, layout, cherries);
  if (!types)
    return types.takeError();
  OpBuilder b(&context);
  Location loc = b.getUnknownLoc();
  auto x = RankedTensorType::get({m, weight.k}, b.getF32Type());
  auto y = RankedTensorType::get({m, weight.n}, b.getF32Type());
  SmallVector<Type> arguments{x};
  for (RankedTensorType type :
       {types->codes, types->scales, types->zeros, types->cherryColumns,
        types->cherryDeltas, types->rowOrder})
    if (type)
      arguments.push_back(type);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  b.setInsertionPointToStart(module->getBody());
  auto function =
      func::FuncOp::create(b, loc, "product", b.getFunctionType(arguments, y));
  b.setInsertionPointToStart(function.addEntryBlock());
  auto next = function.getArguments().begin();
  auto take = [&](Type type) { return type ? Value(*next++) : Value(); };
  Value input = take(x), codes = take(types->codes),
        scales = take(types->scales), zeros = take(types->zeros),
        columns = take(types->cherryColumns),
        deltas = take(types->cherryDeltas), order = take(types->rowOrder);
  Value init = tensor::EmptyOp::create(b, loc, y.getShape(), b.getF32Type());
  auto product = MatmulOp::create(
      b, loc, y, input, Value(), Value(), Value(), codes, scales, zeros,
      columns, deltas, order, init, scheme, layout, cherries,
      ActivationAttr::get(&context, ActivationMode::F32));
  func::ReturnOp::create(b, loc, product.getResult());
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os);
  return text;
}

/// Code of one text, compiled once in a process while somebody uses it.
static llvm::Expected<std::shared_ptr<Code>>
codeOf(const std::string &source, const std::string &activation) {
  static std::mutex mutex;
  static llvm::StringMap<std::weak_ptr<Code>> known;
  std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<Code> &held = known[activation + source];
  if (std::shared_ptr<Code> code = held.lock())
    return code;
  ExecutionOptions options;
  options.activation = activation;
  auto module = CompiledModule::compileSource(source, "product", options);
  if (!module)
    return module.takeError();
  auto function = (*module)->lookup("product");
  if (!function)
    return function.takeError();
  auto code = std::make_shared<Code>();
  code->module = std::move(*module);
  code->function = *function;
  held = code;
  return code;
}

static llvm::Expected<AlignedPlane> align(const std::vector<uint8_t> &plane) {
  size_t size = (plane.size() + 63) / 64 * 64;
  auto *memory = static_cast<uint8_t *>(std::aligned_alloc(64, size));
  if (!memory)
    return fail("there is not enough memory");
  std::memcpy(memory, plane.data(), plane.size());
  return AlignedPlane(memory);
}

CqProduct cqProductCreate(CqWeight weight, const char *activation) {
  return guard<CqProduct>(nullptr, [&]() -> llvm::Expected<CqProduct> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    const PackedWeight &packed = weight->packed;
    auto mode = parseActivationMode(activation ? activation : "f32");
    if (!mode)
      return fail("'" + textOf(activation) +
                  "' is no way to read activations: int8 or f32");
    if (packed.layout.kind != LayoutKind::Panel16)
      return fail("kernels read the layout panel16, not " +
                  stringifyLayoutKind(packed.layout.kind) +
                  "; see cqWeightRelayout");
    auto product = std::make_unique<CqProduct_>();
    product->n = packed.n;
    product->k = packed.k;
    product->activation = stringifyActivationMode(*mode).str();
    for (const std::vector<uint8_t> *plane :
         {&packed.codes, &packed.scales, &packed.zeros, &packed.cherryColumns,
          &packed.cherryDeltas, &packed.rowOrder}) {
      if (plane->empty())
        continue;
      auto aligned = align(*plane);
      if (!aligned)
        return aligned.takeError();
      product->planes.push_back(std::move(*aligned));
    }
    for (size_t i = 0; i < std::size(kSizes); ++i) {
      auto source = writeProduct(packed, kSizes[i]);
      if (!source)
        return source.takeError();
      product->sources[i] = std::move(*source);
    }
    return product.release();
  });
}

template <size_t... I>
static void callWith(void *function, void **arguments,
                     std::index_sequence<I...>) {
  using Signature = void (*)(decltype((void)I, (void *)nullptr)...);
  reinterpret_cast<Signature>(function)(arguments[I]...);
}

/// The C function of `codes`: parameters (none), x, planes, y.
static void call(Code &code, const CqProduct_ &product, const float *x,
                 float *y) {
  void *arguments[9] = {nullptr, const_cast<float *>(x)};
  size_t count = 2;
  for (const AlignedPlane &plane : product.planes)
    arguments[count++] = plane.get();
  arguments[count++] = y;
  std::lock_guard<std::mutex> lock(code.mutex);
  switch (product.planes.size()) {
  case 2:
    return callWith(code.function, arguments, std::make_index_sequence<5>());
  case 3:
    return callWith(code.function, arguments, std::make_index_sequence<6>());
  case 4:
    return callWith(code.function, arguments, std::make_index_sequence<7>());
  case 5:
    return callWith(code.function, arguments, std::make_index_sequence<8>());
  default:
    return callWith(code.function, arguments, std::make_index_sequence<9>());
  }
}

int cqProductRun(CqProduct product, const float *x, int64_t m, float *out) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(product, "product"))
      return error;
    if (llvm::Error error = needs(x, "x"))
      return error;
    if (llvm::Error error = needs(out, "out"))
      return error;
    int64_t n = product->n, k = product->k;
    if (auto in = countOf(m, k), results = countOf(m, n); !in || !results) {
      llvm::consumeError(in.takeError());
      llvm::consumeError(results.takeError());
      return fail("x has 1 to 2^40 elements, not " + llvm::Twine(m) +
                  " rows of " + llvm::Twine(k));
    }
    // int8 has no code for them.
    for (int64_t i = 0; i < m * k; ++i)
      if (!std::isfinite(x[i]))
        return fail("x has NaN or infinity at row " + llvm::Twine(i / k) +
                    ", column " + llvm::Twine(i % k));
    for (int64_t row = 0; row < m;) {
      size_t index = chooseChunk(kSizes, std::size(kSizes), m - row);
      std::shared_ptr<Code> &code = product->codes[index];
      if (!code) {
        auto made = codeOf(product->sources[index], product->activation);
        if (!made)
          return made.takeError();
        code = std::move(*made);
      }
      int64_t rows = std::min(m - row, kSizes[index]);
      if (rows == kSizes[index]) {
        call(*code, *product, x + row * k, out + row * n);
      } else {
        product->x.assign(kSizes[index] * k, 0);
        product->y.resize(kSizes[index] * n);
        std::copy(x + row * k, x + (row + rows) * k, product->x.data());
        call(*code, *product, product->x.data(), product->y.data());
        std::copy_n(product->y.data(), rows * n, out + row * n);
      }
      row += rows;
    }
    return llvm::Error::success();
  });
}

void cqProductFree(CqProduct product) { delete product; }
