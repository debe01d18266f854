//===- QuantizeStatisticsTest.cpp - cq-quantize{stats=FILE} ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RandomValues.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Pipelines/InitAll.h"
#include "cq/Stats/Statistics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir;
using namespace mlir::cq;

namespace {

constexpr int64_t kOut = 32, kIn = 128;

/// Two weights that read one input, one of them stored [in, out].
struct Model {
  std::vector<float> up = randomValues(kOut * kIn, 1),
                     gate = randomValues(kOut * kIn, 2), x;
  Statistics statistics;

  Model() {
    x = randomValues(300 * kIn, 3);
    for (int64_t row = 0; row < 300; ++row) // correlated columns
      for (int64_t column = 1; column < kIn; ++column)
        x[row * kIn + column] += 0.9f * x[row * kIn + column - 1];
    InputStatistics input;
    input.weights = {"up", "gate"};
    input.k = kIn;
    input.add(x.data(), 300);
    std::vector<float> gram(kIn * kIn);
    for (int64_t i = 0; i < kIn; ++i)
      for (int64_t j = 0; j < kIn; ++j)
        for (int64_t row = 0; row < 300; ++row)
          gram[i * kIn + j] += x[row * kIn + i] * x[row * kIn + j];
    input.addGram(gram.data());
    statistics.inputs.push_back(input);
    statistics.fisherKind = FisherKind::Sequence;
    for (const char *name : {"up", "gate"}) {
      FisherStatistics fisher;
      fisher.weight = name;
      fisher.n = kOut, fisher.k = kIn;
      std::vector<float> gradient = randomValues(kOut * kIn, name[0]);
      fisher.addGradient(gradient.data());
      statistics.fishers.push_back(fisher);
    }
    statistics.weightHashes = {
        {"up", hashWeight(up.data(), kOut, kIn), kOut, kIn},
        {"gate", hashWeight(transposed().data(), kIn, kOut), kIn, kOut}};
    statistics.provenance.model = "0123456789abcdef0123456789abcdef";
    statistics.provenance.options = "tokens=300";
  }
  std::vector<float> transposed() const {
    std::vector<float> out(gate.size());
    for (int64_t i = 0; i < kOut; ++i)
      for (int64_t j = 0; j < kIn; ++j)
        out[j * kOut + i] = gate[i * kIn + j];
    return out;
  }
  static std::string hex(const std::vector<float> &values) {
    StringRef bytes(reinterpret_cast<const char *>(values.data()),
                    values.size() * sizeof(float));
    return "dense<\"0x" + llvm::toHex(bytes) + "\">";
  }
  std::string text() const {
    return R"(
func.func @main(%x : tensor<2x128xf32>) -> (tensor<2x32xf32>, tensor<2x32xf32>) {
  %up = arith.constant )" +
           hex(up) + R"( : tensor<32x128xf32> loc("up")
  %gate = arith.constant )" +
           hex(transposed()) + R"( : tensor<128x32xf32> loc("gate")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x32xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2x32xf32>) -> tensor<2x32xf32>
  %a = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %up : tensor<2x128xf32>, tensor<32x128xf32>) outs(%i : tensor<2x32xf32>) -> tensor<2x32xf32>
  %b = linalg.matmul ins(%x, %gate : tensor<2x128xf32>, tensor<128x32xf32>) outs(%i : tensor<2x32xf32>) -> tensor<2x32xf32>
  return %a, %b : tensor<2x32xf32>, tensor<2x32xf32>
})";
  }
};

class QuantizeStatisticsTest : public testing::Test {
protected:
  void SetUp() override {
    static bool registered = [] {
      cq::registerAllPasses();
      return true;
    }();
    (void)registered;
    registry
        .insert<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                tensor::TensorDialect, ml_program::MLProgramDialect>();
    cq::registerAllDialects(registry);
    ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("cq", "stats", path));
  }
  void TearDown() override { llvm::sys::fs::remove(path); }

  /// Runs `pipeline` with STATS replaced by the file; "" or the diagnostics of
  /// kind `kind`.
  std::string run(std::string pipeline,
                  DiagnosticSeverity kind = DiagnosticSeverity::Error) {
    llvm::cantFail(model.statistics.write(path));
    if (size_t at = pipeline.find("STATS"); at != std::string::npos)
      pipeline.replace(at, 5, path.str().str());
    // Names of resources are unique in a context.
    module = nullptr;
    context.emplace(registry);
    module = parseSourceString<ModuleOp>(model.text(), &*context);
    EXPECT_TRUE(module);
    std::string said;
    ScopedDiagnosticHandler handler(&*context, [&](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == kind)
        said += diagnostic.str() + "\n";
      return success();
    });
    PassManager manager(&*context, ModuleOp::getOperationName());
    EXPECT_TRUE(succeeded(parsePassPipeline(pipeline, manager)));
    bool failed = mlir::failed(manager.run(*module));
    EXPECT_EQ(failed, kind == DiagnosticSeverity::Error && !said.empty());
    return said;
  }

  std::vector<uint8_t> plane(const std::string &name) {
    std::vector<uint8_t> bytes;
    module->walk([&](arith::ConstantOp constant) {
      auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue());
      if (!resource || resource.getRawHandle().getKey() != name)
        return;
      ArrayRef<char> data = resource.getRawHandle().getBlob()->getData();
      bytes.assign(data.begin(), data.end());
    });
    EXPECT_FALSE(bytes.empty()) << name;
    return bytes;
  }

  /// What the codec makes of weight `w`, asked directly.
  PackedWeight expected(const std::vector<float> &w, unsigned fisherIndex,
                        CherryCriterion criterion) {
    Scheme scheme{3, 64};
    const InputStatistics &input = model.statistics.inputs.front();
    std::vector<double> gram = input.gram;
    for (double &value : gram)
      value /= static_cast<double>(input.tokens);
    SecondMoments moments = llvm::cantFail(SecondMoments::factorise(gram, kIn));
    std::vector<float> squares = input.meanSquares(), fisher;
    for (double sum : model.statistics.fishers[fisherIndex].sum)
      fisher.push_back(static_cast<float>(sum));
    CherryInputs cherryInputs{squares.data(), fisher.data()};
    auto cherries = llvm::cantFail(
        selectCherries(w.data(), kOut, kIn, CherrySpec{CherryForm::Slot, 1},
                       criterion, scheme, cherryInputs));
    QuantizerInputs inputs;
    inputs.columnWeights = squares.data();
    inputs.moments = &moments;
    auto q = llvm::cantFail(quantizeWeight(
        w.data(), kOut, kIn, scheme, QuantizerKind::GPTQ, &cherries, inputs));
    return packWeight(q, &cherries,
                      Layout::uniform(LayoutKind::Panel16, kOut, 3));
  }

  void expectPlanes(CherryCriterion criterion) {
    PackedWeight up = expected(model.up, 0, criterion),
                 gate = expected(model.gate, 1, criterion);
    EXPECT_EQ(plane("up:codes"), up.codes);
    EXPECT_EQ(plane("up:scales"), up.scales);
    EXPECT_EQ(plane("up:cherry_columns"), up.cherryColumns);
    EXPECT_EQ(plane("up:cherry_deltas"), up.cherryDeltas);
    EXPECT_EQ(plane("gate:codes"), gate.codes);
    EXPECT_EQ(plane("gate:scales"), gate.scales);
    EXPECT_EQ(plane("gate:cherry_columns"), gate.cherryColumns);
    EXPECT_EQ(plane("gate:cherry_deltas"), gate.cherryDeltas);
  }

  Model model;
  SmallString<64> path;
  DialectRegistry registry;
  std::optional<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
};

} // namespace

TEST_F(QuantizeStatisticsTest, GivesTheCodecWhatWasMeasured) {
  for (auto [name, criterion] : {std::pair("impact", CherryCriterion::Impact),
                                 {"activation", CherryCriterion::Activation},
                                 {"quant-error", CherryCriterion::QuantError},
                                 {"magnitude", CherryCriterion::Magnitude}}) {
    EXPECT_EQ(run(std::string("cq-quantize{bits=3 group-size=64 "
                              "quantizer=gptq cherries=") +
                  name + " stats=STATS}"),
              "");
    expectPlanes(criterion);
  }
}

TEST_F(QuantizeStatisticsTest, DefaultsToTheBestThatTheFileAllows) {
  const char *pipeline = "cq-quantize{bits=3 stats=STATS}";
  auto remarks = [&] { return run(pipeline, DiagnosticSeverity::Remark); };
  EXPECT_NE(remarks().find("quantizer gptq"), std::string::npos);
  model.statistics.inputs.front().gram.clear();
  EXPECT_NE(remarks().find("quantizer mse"), std::string::npos);
  model.statistics.inputs.front().weights.pop_back();
  EXPECT_NE(remarks().find("quantizer rtn"), std::string::npos);
}

TEST_F(QuantizeStatisticsTest, SaysWhatIsMissing) {
  auto contains = [&](const std::string &pipeline,
                      std::initializer_list<const char *> words) {
    std::string said = run(pipeline);
    for (const char *word : words)
      EXPECT_NE(said.find(word), std::string::npos) << said;
  };
  contains("cq-quantize{quantizer=gptq}", {"'up'", "gptq", "cq calibrate"});
  contains("cq-quantize{cherries=impact}", {"'up'", "impact", "--fisher"});
  contains("cq-quantize{cherries=activation}", {"'up'", "cq calibrate"});
  contains("cq-annotate-impact", {"cq calibrate"});
  contains("cq-quantize{stats=/no/such/file}", {"/no/such/file"});
  Statistics whole = model.statistics;
  model.statistics.inputs.front().gram.clear();
  contains("cq-quantize{quantizer=gptq stats=STATS}",
           {"'up'", "--gram", path.c_str()});
  contains("cq-extract-cherries{quantizer=gptq stats=STATS}",
           {"'up'", "--gram"});
  model.statistics = whole;
  model.statistics.fishers.pop_back();
  contains("cq-quantize{cherries=impact stats=STATS}", {"'gate'", "--fisher"});
  // Measured on other values.
  model.statistics = whole;
  model.gate[5] += 1;
  contains("cq-quantize{stats=STATS}", {"gate", "another model"});
  contains("cq-annotate-impact{stats=STATS}", {"gate", "another model"});
}

TEST_F(QuantizeStatisticsTest, FallsBackToWeightedSearch) {
  InputStatistics &input = model.statistics.inputs.front();
  // An off-diagonal that no damping can outweigh.
  input.gram[1] = 1000 * input.gram[0];
  std::string said =
      run("cq-quantize{bits=3 stats=STATS}", DiagnosticSeverity::Remark);
  EXPECT_NE(said.find("weight 'up' is quantized by mse weighted by E[x²], not "
                      "by gptq: "),
            std::string::npos)
      << said;
}

TEST_F(QuantizeStatisticsTest, AnnotatesWhatWasMeasured) {
  EXPECT_EQ(run("cq-annotate-impact{stats=STATS}"), "");
  unsigned annotated = 0;
  module->walk([&](arith::ConstantOp constant) {
    auto facts = constant->getAttrOfType<DictionaryAttr>("cq.impact");
    if (!facts)
      return;
    ++annotated;
    EXPECT_TRUE(facts.get("gram") && facts.get("moments"));
    EXPECT_EQ(facts.getAs<StringAttr>("fisher").getValue(), "sequence");
    EXPECT_EQ(facts.getAs<IntegerAttr>("tokens").getInt(), 300);
    auto number = [&](const char *what, const char *field) {
      return facts.getAs<DictionaryAttr>(what)
          .getAs<FloatAttr>(field)
          .getValueAsDouble();
    };
    EXPECT_GT(number("impact", "hscore"), 0.5);
    EXPECT_NEAR(number("magnitude", "mean"), 0.25, 0.02);
    EXPECT_NEAR(number("magnitude", "max"), 0.5, 0.01);
    EXPECT_GT(number("activation", "max"), number("activation", "mean"));
  });
  EXPECT_EQ(annotated, 2u);
}

TEST_F(QuantizeStatisticsTest, ExtractCherriesKeepsTheModuleRunnable) {
  const char *pipeline =
      "cq-annotate-weights,cq-extract-cherries{criterion=impact "
      "scheme=b3-g64 quantizer=gptq stats=STATS},cq-materialize-parameters{"
      "statistics=STATS}";
  std::string text = pipeline;
  llvm::cantFail(model.statistics.write(path));
  for (size_t at; (at = text.find("STATS")) != std::string::npos;)
    text.replace(at, 5, path.str().str());
  EXPECT_EQ(run(text), "");
  expectPlanes(CherryCriterion::Impact);
  unsigned products = 0, scattered = 0;
  module->walk([&](Operation *op) {
    products += isa<linalg::MatmulOp>(op);
    scattered += op->getName().getStringRef() == "cq.scatter_cherries";
  });
  EXPECT_EQ(products, 2u);
  EXPECT_EQ(scattered, 2u);
}
