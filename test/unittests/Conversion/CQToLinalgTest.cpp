//===- CQToLinalgTest.cpp - The reference lowering against the codec ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Jit.h"
#include "cq/Codec/ReferenceGemm.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

/// What one test weight is.
struct Case {
  Scheme scheme;
  LayoutKind layout;
  CherrySpec cherries;
  int64_t n, k, m;
  /// Two row segments, where there is more than one panel.
  bool segments;
  /// Activations of tensor type [?, K].
  bool dynamicM;
  /// Width of the first 16 rows, where it is another.
  unsigned wide = 0;
  /// Rows are stored in an order of their own.
  bool permuted = false;
};

std::string gridName(Grid grid) {
  std::string name = stringifyGrid(grid).str();
  return name == "half-step" ? "half_step" : name;
}

std::string schemeText(const Scheme &s) {
  return "#cq.scheme<bits = " + std::to_string(s.bits) +
         ", group = " + (s.group ? std::to_string(s.group) : "row") +
         ", grid = " + gridName(s.grid) +
         ", scale = " + stringifyScaleType(s.scaleType).str() + ">";
}

std::string layoutText(const Layout &layout) {
  std::string text =
      "#cq.layout<" + stringifyLayoutKind(layout.kind).str() + ", [";
  for (size_t i = 0; i < layout.segments.size(); ++i)
    text += (i ? ", " : "") + std::to_string(layout.segments[i].rows) + " : " +
            std::to_string(layout.segments[i].bits);
  return text + (layout.permuted ? "], permuted>" : "]>");
}

Layout layoutOf(const Case &c, LayoutKind kind) {
  Layout layout = Layout::uniform(kind, c.n, c.scheme.bits);
  if (c.segments && c.n > 16)
    layout.segments = {{16, c.wide ? c.wide : c.scheme.bits},
                       {c.n - 16, c.scheme.bits}};
  layout.permuted = c.permuted;
  return layout;
}

std::vector<float> randomFloats(int64_t count, std::mt19937 &random) {
  std::vector<float> values(count);
  for (float &value : values) {
    value = 0;
    for (int i = 0; i < 4; ++i)
      value += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
    if (random() % 50 == 0)
      value *= 8;
  }
  return values;
}

template <typename T>
void expectSameBytes(const std::vector<T> &got, const std::vector<T> &expected,
                     const char *what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::memcmp(&got[i], &expected[i], sizeof(T)), 0)
        << what << " differs first at " << i << ": " << +got[i] << " for "
        << +expected[i];
}

/// Types, values and planes of one case; adds ops to a program.
class Runner {
public:
  explicit Runner(const Case &c, std::mt19937 &random)
      : c(c), weight(randomFloats(c.n * c.k, random)),
        x(randomFloats(c.m * c.k, random)), groups(c.scheme.numGroups(c.k)) {
    // One group of zeros, and a token of zeros.
    std::fill_n(weight.begin(), std::min<int64_t>(c.k, 32), 0.0f);
    std::fill_n(x.begin(), c.k, 0.0f);
    quantize();
    scaleElement = stringifyScaleType(c.scheme.scaleType).str();
    columnElement = c.cherries.columnBytes() == 1 ? "i8" : "i16";
    program.prologue = "#s = " + schemeText(c.scheme) +
                       "\n#l = " + layoutText(packed.layout) +
                       "\n#o = " + layoutText(other.layout) + "\n";
    if (hasCherries())
      program.prologue += "#c = #cq.cherries<" +
                          stringifyCherryForm(c.cherries.form).str() + ", " +
                          std::to_string(c.cherries.count) + ">\n";
  }

  void run() {
    planes();
    addDecode();
    if (!c.permuted)
      addGather();
    addProducts();
    addRelayout();
    if (c.wide == 0)
      addQuantize();
    std::string error = program.run();
    ASSERT_EQ(error, "");
    check();
  }

private:
  bool hasCherries() const { return c.cherries.form != CherryForm::None; }
  bool affine() const { return c.scheme.hasZeroPoints(); }

  void quantize() {
    CherryPositions *positions = nullptr;
    if (hasCherries()) {
      cherries =
          llvm::cantFail(selectCherries(weight.data(), c.n, c.k, c.cherries,
                                        CherryCriterion::Magnitude, c.scheme));
      positions = &cherries;
    }
    QuantizerInputs inputs;
    Layout layout = layoutOf(c, c.layout);
    if (c.wide)
      inputs.segments = layout.segments;
    q = llvm::cantFail(quantizeWeight(weight.data(), c.n, c.k, c.scheme,
                                      QuantizerKind::RTN, positions, inputs));
    // Any order will do; 7 divides no number of rows here.
    for (int64_t row = 0; row < c.n && c.permuted; ++row)
      q.order.push_back((7 * row + 3) % c.n);
    LayoutKind otherKind = c.layout == LayoutKind::Linear ? LayoutKind::Panel16
                                                          : LayoutKind::Linear;
    packed = packWeight(q, positions, layoutOf(c, c.layout));
    other = packWeight(q, positions, layoutOf(c, otherKind));
  }

  void planes() {
    codesType = Program::shape({size(packed.codes)}, "i8");
    scalesType = Program::shape({entries(packed)}, scaleElement);
    program.input("pc", codesType, packed.codes.data());
    program.input("ps", scalesType, packed.scales.data());
    if (affine()) {
      zerosType = Program::shape({entries(packed)}, "i8");
      program.input("pz", zerosType, packed.zeros.data());
    }
    if (hasCherries()) {
      columnsType =
          Program::shape({c.cherries.numColumns(c.n, c.k)}, columnElement);
      deltasType = Program::shape({c.cherries.numDeltas(c.n, c.k)}, "f16");
      program.input("columns", columnsType, packed.cherryColumns.data());
      program.input("deltas", deltasType, packed.cherryDeltas.data());
    }
    if (c.permuted) {
      orderType = Program::shape({c.n}, "i16");
      program.input("order", orderType, packed.rowOrder.data());
    }
    program.input("x", Program::shape({c.m, c.k}, "f32"), x.data());
  }

  static int64_t size(const std::vector<uint8_t> &plane) {
    return static_cast<int64_t>(plane.size());
  }
  int64_t entries(const PackedWeight &p) const {
    return p.layout.scaleEntries(c.n, c.k, c.scheme);
  }
  std::string tensor(const std::string &shape) const {
    return "tensor<" + shape + ">";
  }
  std::string matrix(int64_t columns, const std::string &element) const {
    return tensor(Program::shape({c.n, columns}, element));
  }
  /// Operands that hold the planes of a product or gather.
  std::string planeOperands() const {
    std::string text = "codes(%pc : " + tensor(codesType) +
                       ") scales(%ps : " + tensor(scalesType) + ")";
    if (affine())
      text += " zeros(%pz : " + tensor(zerosType) + ")";
    if (hasCherries())
      text += " cherries(%columns, %deltas : " + tensor(columnsType) + ", " +
              tensor(deltasType) + ")";
    if (c.permuted)
      text += " rows(%order : " + tensor(orderType) + ")";
    return text + " ";
  }
  std::string cherryAttribute() const {
    return hasCherries() ? ", cherries = #c" : "";
  }

  /// unpack, dequantize, scatter_cherries → the whole weight.
  void addDecode() {
    std::string zeroOut = affine() ? ", " + matrix(groups, "i8") : "";
    std::string zeroIn =
        affine() ? " zeros(%pz : " + tensor(zerosType) + ")" : "";
    program.body += std::string("%u, %us") + (affine() ? ", %uz" : "") +
                    " = cq.unpack %pc scales(%ps : " + tensor(scalesType) +
                    ")" + zeroIn +
                    " {scheme = #s, layout = #l} : " + tensor(codesType) +
                    " -> " + matrix(c.k, "i8") + ", " +
                    matrix(groups, scaleElement) + zeroOut + "\n";
    zeroIn = affine() ? " zeros(%uz : " + matrix(groups, "i8") + ")" : "";
    program.body += "%dense = cq.dequantize %u scales(%us : " +
                    matrix(groups, scaleElement) + ")" + zeroIn +
                    " {scheme = #s, layout = #l} : " + matrix(c.k, "i8") +
                    " -> " + matrix(c.k, "f32") + "\n";
    std::string result = "dense";
    if (hasCherries()) {
      program.body += "%w = cq.scatter_cherries %dense, %columns, %deltas "
                      "{cherries = #c} : " +
                      matrix(c.k, "f32") + ", " + tensor(columnsType) + ", " +
                      tensor(deltasType) + "\n";
      result = "w";
    }
    decoded.resize(c.n * c.k);
    program.output(result, Program::shape({c.n, c.k}, "f32"), decoded.data());
  }

  void addGather() {
    tokens = {static_cast<int32_t>(c.n - 1), 0, static_cast<int32_t>(c.n / 2)};
    program.input("tokens", "3xi32", tokens.data());
    std::string type = Program::shape({3, c.k}, "f32");
    program.body += "%ginit = tensor.empty() : " + tensor(type) +
                    "\n%rows = cq.gather %tokens : tensor<3xi32> " +
                    planeOperands() + "outs(%ginit : " + tensor(type) +
                    ") {scheme = #s, layout = #l" + cherryAttribute() +
                    "} -> " + tensor(type) + "\n";
    gathered.resize(3 * c.k);
    program.output("rows", type, gathered.data());
  }

  /// A tensor [M, columns], named `name`, of unknown M if the case says so.
  std::string activation(const std::string &name, int64_t columns,
                         const std::string &element) {
    std::string from = tensor(Program::shape({c.m, columns}, element));
    if (!c.dynamicM)
      return from;
    std::string to = tensor("?x" + Program::shape({columns}, element));
    program.body += "%" + name + "d = tensor.cast %" + name + " : " + from +
                    " to " + to + "\n";
    return to;
  }
  /// Empty destination [M, columns].
  std::string destination(const std::string &name, int64_t columns,
                          const std::string &element) {
    std::string n = c.dynamicM ? name + "s" : name;
    program.body += "%" + n + " = tensor.empty() : " +
                    tensor(Program::shape({c.m, columns}, element)) + "\n";
    if (!c.dynamicM)
      return tensor(Program::shape({c.m, columns}, element));
    std::string to = tensor("?x" + Program::shape({columns}, element));
    program.body += "%" + name + " = tensor.cast %" + n + " : " +
                    tensor(Program::shape({c.m, columns}, element)) + " to " +
                    to + "\n";
    return to;
  }
  /// The result %name of type [M or ?, columns] as an output.
  template <typename T>
  void result(const std::string &name, int64_t columns,
              const std::string &element, std::vector<T> &data) {
    data.resize(c.m * columns);
    std::string to = Program::shape({c.m, columns}, element);
    if (c.dynamicM)
      program.body += "%" + name + "out = tensor.cast %" + name + " : " +
                      tensor("?x" + Program::shape({columns}, element)) +
                      " to " + tensor(to) + "\n";
    program.output(c.dynamicM ? name + "out" : name, to, data.data());
  }

  void addProducts() {
    int64_t group = activationGroup(c.scheme);
    int64_t actGroups = (c.k + group - 1) / group;
    std::string xType = activation("x", c.k, "f32");
    std::string xName = c.dynamicM ? "%xd" : "%x";
    std::string yType = destination("i32", c.n, "f32");
    destination("i8", c.n, "f32");
    std::string types = destination("qc", c.k, "i8") + ", " +
                        destination("qs", actGroups, "f32") + ", " +
                        destination("qz", actGroups, "i32");
    std::string rest = planeOperands();
    program.body += "%y32 = cq.matmul x(" + xName + " : " + xType + ") " +
                    rest + "outs(%i32 : " + yType +
                    ") {scheme = #s, layout = #l, mode = #cq.activation<f32>" +
                    cherryAttribute() + "} -> " + yType + "\n";
    program.body += "%xc, %xs, %xz = cq.dynamic_quantize " + xName + " : " +
                    xType + " outs(%qc, %qs, %qz : " + types +
                    ") {group = " + std::to_string(group) + " : i64} -> " +
                    types + "\n";
    std::string floats =
        hasCherries() ? "x(" + xName + " : " + xType + ") " : "";
    program.body += "%y8 = cq.matmul " + floats +
                    "activations(%xc, %xs, %xz : " + types + ") " + rest +
                    "outs(%i8 : " + yType +
                    ") {scheme = #s, layout = #l, mode = #cq.activation<int8>" +
                    cherryAttribute() + "} -> " + yType + "\n";
    result("y32", c.n, "f32", y32);
    result("y8", c.n, "f32", y8);
    result("xc", c.k, "i8", xCodes);
    result("xs", actGroups, "f32", xScales);
    result("xz", actGroups, "i32", xSums);
  }

  void addRelayout() {
    auto resize = [](std::vector<uint8_t> &to, const std::vector<uint8_t> &as) {
      to.assign(as.size(), 0xEE);
    };
    resize(again.codes, other.codes);
    resize(again.scales, other.scales);
    resize(again.zeros, other.zeros);
    std::string codes = Program::shape({size(other.codes)}, "i8");
    std::string scales = Program::shape({entries(other)}, scaleElement);
    std::string zeros = Program::shape({entries(other)}, "i8");
    std::string in = affine() ? " zeros(%pz : " + tensor(zerosType) + ")" : "";
    std::string out = affine() ? ", " + tensor(zeros) : "";
    program.body +=
        std::string("%rc, %rs") + (affine() ? ", %rz" : "") +
        " = cq.relayout %pc scales(%ps : " + tensor(scalesType) + ")" + in +
        " {scheme = #s, from = #l, to = #o, columns = " + std::to_string(c.k) +
        " : i64} : " + tensor(codesType) + " -> " + tensor(codes) + ", " +
        tensor(scales) + out + "\n";
    program.output("rc", codes, again.codes.data());
    program.output("rs", scales, again.scales.data());
    if (affine())
      program.output("rz", zeros, again.zeros.data());
  }

  void addQuantize() {
    program.input("weight", Program::shape({c.n, c.k}, "f32"), weight.data());
    std::string in = hasCherries()
                         ? " cherries(%columns : " + tensor(columnsType) + ")"
                         : "";
    std::string out;
    if (affine())
      out += " zeros " + matrix(groups, "i8");
    if (hasCherries())
      out += " deltas " + tensor(deltasType);
    program.body += std::string("%nc, %ns") + (affine() ? ", %nz" : "") +
                    (hasCherries() ? ", %nd" : "") + " = cq.quantize %weight" +
                    in + " {scheme = #s, quantizer = #cq.quantizer<rtn>" +
                    cherryAttribute() + "} : " + matrix(c.k, "f32") + " -> " +
                    matrix(c.k, "i8") + ", " + matrix(groups, scaleElement) +
                    out + "\n";
    newCodes.resize(q.codes.size());
    newScales.resize(q.scales.size() * scaleBytes(c.scheme.scaleType));
    newZeros.resize(q.zeros.size());
    newDeltas.resize(q.deltas.size());
    program.output("nc", Program::shape({c.n, c.k}, "i8"), newCodes.data());
    program.output("ns", Program::shape({c.n, groups}, scaleElement),
                   newScales.data());
    if (affine())
      program.output("nz", Program::shape({c.n, groups}, "i8"),
                     newZeros.data());
    if (hasCherries())
      program.output("nd", deltasType, newDeltas.data());
  }

  void check() {
    const CherryPositions *positions = hasCherries() ? &cherries : nullptr;
    std::vector<float> w(c.n * c.k), y(c.m * c.n), rows;
    QuantizedWeight stored = q;
    stored.order.clear();
    dequantizeWeight(stored, positions, w.data());
    expectSameBytes(decoded, w, "decoded weight");
    for (int32_t token : tokens)
      rows.insert(rows.end(), w.begin() + token * c.k,
                  w.begin() + (token + 1) * c.k);
    expectSameBytes(gathered, rows, "gathered rows");

    referenceGemm(x.data(), c.m, q, positions, ActivationMode::F32, y.data());
    expectSameBytes(y32, y, "f32 product");
    referenceGemm(x.data(), c.m, q, positions, ActivationMode::Int8, y.data());
    expectSameBytes(y8, y, "int8 product");
    QuantizedActivations a =
        quantizeActivations(x.data(), c.m, c.k, activationGroup(c.scheme));
    expectSameBytes(xCodes, a.codes, "activation codes");
    expectSameBytes(xScales, a.scales, "activation scales");
    expectSameBytes(xSums, a.sums, "activation sums");

    expectSameBytes(again.codes, other.codes, "codes of the other layout");
    expectSameBytes(again.scales, other.scales, "scales of the other layout");
    expectSameBytes(again.zeros, other.zeros, "zeros of the other layout");

    if (c.wide)
      return;
    std::vector<uint8_t> scales(newScales.size());
    encodeScales(q.scales.data(), static_cast<int64_t>(q.scales.size()),
                 c.scheme.scaleType, scales.data());
    expectSameBytes(newScales, scales, "new scales");
    expectSameBytes(newZeros, q.zeros, "new zero points");
    expectSameBytes(newCodes, q.codes, "new codes");
    expectSameBytes(newDeltas, q.deltas, "new deltas");
  }

  const Case &c;
  std::vector<float> weight, x;
  int64_t groups;
  std::string scaleElement, columnElement, codesType, scalesType, zerosType,
      columnsType, deltasType, orderType;
  QuantizedWeight q;
  CherryPositions cherries;
  PackedWeight packed, other, again;
  Program program;
  std::vector<int32_t> tokens, xSums;
  std::vector<float> decoded, gathered, y32, y8, xScales;
  std::vector<int8_t> xCodes;
  std::vector<uint8_t> newCodes, newScales, newZeros;
  std::vector<uint16_t> newDeltas;
};

std::string describe(const Case &c) {
  return schemeText(c.scheme) + " " + stringifyLayoutKind(c.layout).str() +
         " cherries " + stringifyCherryForm(c.cherries.form).str() + " N " +
         std::to_string(c.n) + " K " + std::to_string(c.k) + " M " +
         std::to_string(c.m) + (c.segments ? " segments" : "") +
         (c.dynamicM ? " dynamic" : "") +
         (c.wide ? " wide " + std::to_string(c.wide) : "") +
         (c.permuted ? " permuted" : "");
}

class CQToLinalg : public testing::TestWithParam<unsigned> {};

/// Every grid × form of cherries × layout of one bit width, with groups, scale
/// types and shapes taking turns.
TEST_P(CQToLinalg, EqualsCodec) {
  unsigned bits = GetParam();
  std::mt19937 random(bits);
  const int64_t columns[] = {100, 172, 576, 300, 31, 129, 64};
  unsigned turn = bits;
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep}) {
    if (grid == Grid::HalfStep && bits > 4)
      continue;
    for (CherryForm form : {CherryForm::None, CherryForm::Element,
                            CherryForm::Column, CherryForm::Slot})
      for (LayoutKind layout : {LayoutKind::Panel16, LayoutKind::Linear}) {
        ++turn;
        Case c;
        c.scheme = {bits, (turn / 2 % 4) * 32 + (turn / 2 % 4 == 3) * 32, grid,
                    static_cast<ScaleType>(turn / 3 % 3)};
        c.layout = layout;
        c.n = 1 + random() % 40;
        c.k = columns[turn % 7];
        c.m = 1 + random() % 3;
        c.cherries = {form, form == CherryForm::None ? 0 : 1 + turn % 3};
        c.segments = turn % 3 == 0;
        c.dynamicM = turn % 2 == 0;
        SCOPED_TRACE(describe(c));
        Runner(c, random).run();
        if (HasFatalFailure())
          return;
      }
  }
}

/// Rows of two widths, in order or not.
TEST_P(CQToLinalg, MixedRowsEqualCodec) {
  unsigned bits = GetParam();
  std::mt19937 random(40 + bits);
  const int64_t columns[] = {100, 172, 300, 31, 129, 64};
  unsigned turn = bits;
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
    for (CherryForm form : {CherryForm::None, CherryForm::Element,
                            CherryForm::Column, CherryForm::Slot}) {
      ++turn;
      Case c;
      c.scheme = {bits, 32 << (turn % 3), grid,
                  static_cast<ScaleType>(turn % 3)};
      c.layout = turn % 4 == 3 ? LayoutKind::Linear : LayoutKind::Panel16;
      c.n = 17 + random() % 27;
      c.n += c.n % 7 == 0;
      c.k = columns[turn % 6];
      c.m = 1 + random() % 3;
      c.cherries = {form, form == CherryForm::None ? 0 : 1 + turn % 3};
      c.segments = true;
      c.dynamicM = turn % 2 == 0;
      c.permuted = turn % 3 != 0;
      c.wide = bits == 6 ? 8 : bits + 1 + turn % 2;
      if (c.wide == 7)
        c.wide = 8;
      if (c.wide > (grid == Grid::HalfStep ? 4u : 8u))
        continue;
      SCOPED_TRACE(describe(c));
      Runner(c, random).run();
      if (HasFatalFailure())
        return;
    }
}

/// Infinite, tiny and missing numbers get the codes that the codec gives them.
TEST(CQToLinalgActivations, SpecialValues) {
  const float inf = INFINITY, nan = NAN, tiny = 0x1p-149f;
  std::vector<float> x = {
      inf,  1,     -inf, nan,   0,        -0.0f, 2,     -3,  // Inf
      nan,  nan,   nan,  nan,   -0.0f,    0,     nan,   nan, // NaN
      tiny, -tiny, 0,    -0.0f, 3 * tiny, 0,     0,     0,   // s = 0
      0.5f, 1.5f,  2.5f, 127,   -0.5f,    -1.5f, -2.5f, -127};
  QuantizedActivations expected = quantizeActivations(x.data(), 1, 32, 8);
  std::vector<int8_t> codes(32);
  std::vector<float> scales(4);
  std::vector<int32_t> sums(4);
  Program program;
  std::string types = "tensor<1x32xi8>, tensor<1x4xf32>, tensor<1x4xi32>";
  program.input("x", "1x32xf32", x.data());
  program.body = "%a = tensor.empty() : tensor<1x32xi8>\n"
                 "%b = tensor.empty() : tensor<1x4xf32>\n"
                 "%c = tensor.empty() : tensor<1x4xi32>\n"
                 "%q, %s, %z = cq.dynamic_quantize %x : tensor<1x32xf32> "
                 "outs(%a, %b, %c : " +
                 types + ") {group = 8 : i64} -> " + types + "\n";
  program.output("q", "1x32xi8", codes.data());
  program.output("s", "1x4xf32", scales.data());
  program.output("z", "1x4xi32", sums.data());
  ASSERT_EQ(program.run(), "");
  expectSameBytes(codes, expected.codes, "codes");
  expectSameBytes(scales, expected.scales, "scales");
  expectSameBytes(sums, expected.sums, "sums");
}

INSTANTIATE_TEST_SUITE_P(Bits, CQToLinalg, testing::Values(2, 3, 4, 5, 6, 8));

} // namespace
