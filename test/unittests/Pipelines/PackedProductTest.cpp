//===- PackedProductTest.cpp - Packed products through the whole lowering -===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RandomValues.h"
#include "cq/Codec/ReferenceGemm.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <cstring>

using namespace mlir;
using namespace mlir::cq;

namespace {

constexpr int64_t kRows = 72, kColumns = 100, kTokens = 3;

/// A product and a gather on one weight with cherries, as `cq quantize` writes
/// them but with the planes as arguments.
struct PackedProduct {
  Scheme scheme{3, 64, Grid::Affine, ScaleType::F16};
  Layout layout = Layout::uniform(LayoutKind::Panel16, kRows, 3);
  CherrySpec spec{CherryForm::Element, 2};
  CherryPositions cherries;
  QuantizedWeight quantized;
  PackedWeight packed;

  PackedProduct() {
    std::vector<float> w = randomValues(kRows * kColumns, 3);
    cherries = llvm::cantFail(selectCherries(
        w.data(), kRows, kColumns, spec, CherryCriterion::Magnitude, scheme));
    quantized = llvm::cantFail(quantizeWeight(w.data(), kRows, kColumns, scheme,
                                              QuantizerKind::RTN, &cherries));
    packed = packWeight(quantized, &cherries, layout);
  }

  std::string text() const {
    auto tensor = [](size_t count, const char *element) {
      return "tensor<" + std::to_string(count) + "x" + element + ">";
    };
    std::string codes = tensor(packed.codes.size(), "i8"),
                scales = tensor(packed.scales.size() / 2, "f16"),
                zeros = tensor(packed.zeros.size(), "i8"),
                columns = tensor(packed.cherryColumns.size() / 2, "i16"),
                deltas = tensor(packed.cherryDeltas.size() / 2, "f16");
    std::string planes = "%c : " + codes + ", %s : " + scales +
                         ", %z : " + zeros + ", %i : " + columns +
                         ", %d : " + deltas;
    std::string operands = "codes(%c : " + codes + ") scales(%s : " + scales +
                           ") zeros(%z : " + zeros +
                           ") cherries(%i, %d : " + columns + ", " + deltas +
                           ")";
    std::string attributes = "scheme = #cq.scheme<bits = 3, group = 64, grid = "
                             "affine, scale = f16>, "
                             "layout = #cq.layout<panel16, [72 : 3]>, cherries "
                             "= #cq.cherries<element, 2>";
    return "func.func @product(%x : tensor<3x100xf32>, " + planes +
           ") -> tensor<3x72xf32> {\n"
           "  %e = tensor.empty() : tensor<3x72xf32>\n"
           "  %y = cq.matmul x(%x : tensor<3x100xf32>) " +
           operands + " outs(%e : tensor<3x72xf32>) {" + attributes +
           ", mode = #cq.activation<f32>} -> tensor<3x72xf32>\n"
           "  return %y : tensor<3x72xf32>\n}\n"
           "func.func @rows(%t : tensor<3xi32>, " +
           planes +
           ") -> tensor<3x100xf32> {\n"
           "  %e = tensor.empty() : tensor<3x100xf32>\n"
           "  %y = cq.gather %t : tensor<3xi32> " +
           operands + " outs(%e : tensor<3x100xf32>) {" + attributes +
           "} -> tensor<3x100xf32>\n"
           "  return %y : tensor<3x100xf32>\n}\n";
  }
};

using Product = void(void **, const void *x, const void *codes,
                     const void *scales, const void *zeros, const void *columns,
                     const void *deltas, float *y);

} // namespace

TEST(PackedProduct, EqualsReferenceThroughTheWholeLowering) {
  PackedProduct p;
  std::vector<float> x = randomValues(kTokens * kColumns, 9);
  std::vector<float> decoded(kRows * kColumns);
  dequantizeWeight(p.quantized, &p.cherries, decoded.data());
  for (const char *activation : {"int8", "f32"})
    for (int threads : {1, 2}) {
      ExecutionOptions options;
      options.activation = activation;
      options.useCache = false;
      auto module =
          CompiledModule::compileSource(p.text(), "packed product", options);
      ASSERT_TRUE(static_cast<bool>(module))
          << llvm::toString(module.takeError());
      cq_set_threads(threads);
      auto product = (*module)->get<Product>("product");
      ASSERT_TRUE(static_cast<bool>(product))
          << llvm::toString(product.takeError());
      std::vector<float> y(kTokens * kRows), want(kTokens * kRows);
      (*product)(nullptr, x.data(), p.packed.codes.data(),
                 p.packed.scales.data(), p.packed.zeros.data(),
                 p.packed.cherryColumns.data(), p.packed.cherryDeltas.data(),
                 y.data());
      referenceGemm(x.data(), kTokens, p.quantized, &p.cherries,
                    *parseActivationMode(activation), want.data());
      EXPECT_EQ(std::memcmp(y.data(), want.data(), 4 * y.size()), 0)
          << activation << ", " << threads << " threads: " << y[0] << " "
          << want[0];

      auto rows = (*module)->get<Product>("rows");
      ASSERT_TRUE(static_cast<bool>(rows)) << llvm::toString(rows.takeError());
      int32_t indices[kTokens] = {71, 0, 17};
      std::vector<float> out(kTokens * kColumns);
      (*rows)(nullptr, indices, p.packed.codes.data(), p.packed.scales.data(),
              p.packed.zeros.data(), p.packed.cherryColumns.data(),
              p.packed.cherryDeltas.data(), out.data());
      for (int64_t t = 0; t < kTokens; ++t)
        EXPECT_EQ(std::memcmp(&out[t * kColumns],
                              &decoded[indices[t] * kColumns], 4 * kColumns),
                  0)
            << "row " << indices[t];
    }
}
