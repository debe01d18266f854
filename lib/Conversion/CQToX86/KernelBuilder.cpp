//===- KernelBuilder.cpp - Product kernels: loops around the tiles --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "MicroTile.h"
#include "PairOffsets.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

//===----------------------------------------------------------------------===//
// Specs
//===----------------------------------------------------------------------===//

std::string WeightSpec::name() const {
  std::string text = "w" + std::to_string(n) + "x" + std::to_string(k) + "_" +
                     scheme.str() + "_" +
                     stringifyLayoutKind(layout.kind).str();
  // One segment of the scheme's bits says nothing new.
  if (layout.segments.size() != 1 || layout.segments[0].bits != scheme.bits)
    for (const RowSegment &segment : layout.segments)
      text += "_" + std::to_string(segment.rows) + "b" +
              std::to_string(segment.bits);
  if (layout.permuted)
    text += "_permuted";
  if (cherries.form != CherryForm::None)
    text += "_" + stringifyCherryForm(cherries.form).str() +
            std::to_string(cherries.count);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::string MatmulSpec::name() const {
  return "cq_matmul_" + weight.name() + "_" +
         stringifyActivationMode(mode).str() + "_m" +
         (ShapedType::isDynamic(m) ? "any" : std::to_string(m)) +
         (transposed ? "_transposed_" : "_") + [&] {
           std::string text = isa.str();
           std::replace(text.begin(), text.end(), '-', '_');
           return text;
         }();
}

std::optional<std::string> WeightSpec::unsupported() const {
  if (n <= 0 || k <= 0)
    return "the weight has no elements";
  if (layout.kind == LayoutKind::MmaFragment)
    return "its planes are in layout mma_fragment, that of NVIDIA kernels: "
           "relayout them to panel16";
  for (const RowSegment &segment : layout.segments)
    if (scheme.grid == Grid::HalfStep && segment.bits > 4)
      return "half-step grids have at most 4 bits";
  if (cherries.form == CherryForm::Slot && layout.kind == LayoutKind::Linear)
    for (const RowSegment &segment : ArrayRef(layout.segments).drop_back())
      if (segment.rows % 16 != 0)
        return "slot cherries beside linear segments need segments of whole "
               "panels of "
               "16 rows";
  return std::nullopt;
}

int64_t WeightSpec::numPanels() const {
  int64_t panels = 0;
  for (const Segment &segment : segmentsOf(*this))
    panels += segment.panels();
  return panels;
}

bool WeightSpec::tasksAreColumns() const {
  return !layout.permuted &&
         llvm::all_of(ArrayRef(layout.segments).drop_back(),
                      [](const RowSegment &s) { return s.rows % 16 == 0; });
}

static MemRefType plane(ArrayRef<int64_t> shape, Type element) {
  return MemRefType::get(shape, element);
}

static Type scaleElement(Builder &b, ScaleType type) {
  switch (type) {
  case ScaleType::F16:
    return b.getF16Type();
  case ScaleType::BF16:
    return b.getBF16Type();
  case ScaleType::F32:
    return b.getF32Type();
  }
  return b.getF16Type();
}

namespace {
struct PlaneTypes {
  MemRefType codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder;
};
} // namespace

static PlaneTypes planeTypes(MLIRContext *context, const WeightSpec &w) {
  Builder b(context);
  PlaneTypes types;
  int64_t scales = w.layout.scaleEntries(w.n, w.k, w.scheme);
  types.codes = plane({w.layout.codeBytes(w.n, w.k)}, b.getI8Type());
  types.scales = plane({scales}, scaleElement(b, w.scheme.scaleType));
  if (w.scheme.hasZeroPoints())
    types.zeros = plane({scales}, b.getI8Type());
  if (w.cherries.form != CherryForm::None) {
    types.cherryColumns = plane({w.cherries.numColumns(w.n, w.k)},
                                b.getIntegerType(8 * w.cherries.columnBytes()));
    types.cherryDeltas =
        plane({w.cherries.numDeltas(w.n, w.k)}, b.getF16Type());
  }
  if (w.layout.permuted)
    types.rowOrder =
        plane({w.n}, b.getIntegerType(8 * Layout::orderEntryBytes(w.n)));
  return types;
}

MatmulTypes MatmulTypes::get(MLIRContext *context, const MatmulSpec &spec) {
  Builder b(context);
  const WeightSpec &w = spec.weight;
  MatmulTypes types;
  if (spec.needsFloatActivations())
    types.x = spec.transposed ? transposedType(context, spec.m, w.k)
                              : plane({spec.m, w.k}, b.getF32Type());
  if (spec.mode == ActivationMode::Int8) {
    int64_t group = activationGroup(w.scheme),
            groups = (w.k + group - 1) / group;
    types.activationCodes = plane({spec.m, w.k}, b.getI8Type());
    types.activationScales = plane({spec.m, groups}, b.getF32Type());
    types.activationSums = plane({spec.m, groups}, b.getI32Type());
  }
  PlaneTypes planes = planeTypes(context, w);
  types.codes = planes.codes;
  types.scales = planes.scales;
  types.zeros = planes.zeros;
  types.cherryColumns = planes.cherryColumns;
  types.cherryDeltas = planes.cherryDeltas;
  types.rowOrder = planes.rowOrder;
  types.y = plane({spec.m, w.n}, b.getF32Type());
  return types;
}

GatherTypes GatherTypes::get(MLIRContext *context, const WeightSpec &spec,
                             int64_t m) {
  Builder b(context);
  PlaneTypes planes = planeTypes(context, spec);
  return {plane({m}, b.getI32Type()),
          planes.codes,
          planes.scales,
          planes.zeros,
          planes.cherryColumns,
          planes.cherryDeltas,
          plane({m, spec.k}, b.getF32Type())};
}

//===----------------------------------------------------------------------===//
// Kernel
//===----------------------------------------------------------------------===//

namespace {

class MatmulKernel {
public:
  MatmulKernel(Emitter &e, const MatmulSpec &spec, const KernelArgs &args)
      : e(e), spec(spec), args(args) {}

  /// With a cache the code of a segment is a function that all weights with
  /// rows of that kind share, whatever their number and place.
  void emit(KernelCache *cache);

private:
  void emitSegment(const Segment &segment, Value lower, Value upper);
  void callSegment(const Segment &segment, Value lower, Value upper,
                   KernelCache &cache);
  std::string segmentName(const Segment &segment) const;
  void emitPanel(WeightReader &reader);
  void emitBlocks(const Segment &segment, Value lower, Value upper,
                  bool unpacked);
  /// Covers all tokens with tiles of at most `most`.
  void forTokens(int64_t most,
                 llvm::function_ref<void(Value token, int64_t tokens)> body);

  /// The same for their cherries, if there are any that gather.
  void forCherryTokens(llvm::function_ref<void(Value, int64_t)> body);

  Emitter &e;
  const MatmulSpec &spec;
  const KernelArgs &args;
};

} // namespace

void MatmulKernel::forTokens(int64_t most,
                             llvm::function_ref<void(Value, int64_t)> body) {
  if (!ShapedType::isDynamic(spec.m)) {
    e.pieces(spec.m, most, {}, [&](Value token, int64_t tokens, ValueRange) {
      body(token, tokens);
      return SmallVector<Value>();
    });
    return;
  }
  Value m = memref::DimOp::create(e, args.y, 0);
  Value whole = e.mul(e.udiv(m, most), most);
  e.loop(e.index(0), whole, most, [&](Value token) { body(token, most); });
  e.loop(whole, m, 1, [&](Value token) { body(token, 1); });
}

void MatmulKernel::emitPanel(WeightReader &reader) {
  const WeightSpec &weight = spec.weight;
  LayoutKind layout = weight.layout.kind;
  constexpr bool unpacked = false;
  forTokens(maxTokensPerTile(spec.isa, spec.mode, layout, unpacked),
            [&](Value token, int64_t tokens) {
              TilePlan plan =
                  planTile(spec.isa, spec.mode, layout, unpacked, reader.unit(),
                           weight.k, /*panels=*/1, tokens);
              MicroTile tile(e, spec, args, &reader, plan);
              // A real loop over row halves: unrolled, LLVM would keep every
              // broadcast activation of the first half alive for the second.
              if (plan.rows < 16)
                e.loop(e.index(0), e.index(16), plan.rows,
                       [&](Value lane) { tile.emit(token, lane); });
              else
                tile.emit(token, e.index(0));
            });
  forCherryTokens([&](Value token, int64_t tokens) {
    emitCherries(e, spec, args, reader, token, tokens);
  });
}

void MatmulKernel::emitBlocks(const Segment &segment, Value lower, Value upper,
                              bool unpacked) {
  LayoutKind layout = spec.weight.layout.kind;
  int64_t k = spec.weight.k;
  bool inTiles = multipliesTiles(spec.isa, spec.mode, layout, k, spec.m);
  int64_t most = inTiles
                     ? TileProduct::kTokens
                     : maxTokensPerTile(spec.isa, spec.mode, layout, unpacked);
  bool oneTile = spec.m <= most;
  // In pieces that fit L1 where they are read for every tile of tokens.
  bool bytes = unpacked || inTiles; // those of 8 bits in the panel itself
  int64_t columns = bytes ? unpackedColumns(k, spec.m)
                          : columnsPerBlock(k, spec.m, /*piece=*/128);
  SmallVector<std::unique_ptr<WeightReader>> owned;
  SmallVector<WeightReader *> readers;
  int64_t panels = panelsPerTile(spec.isa, spec.mode, layout, spec.m);
  for (int64_t i = 0; i < panels; ++i) {
    owned.push_back(
        unpacked
            ? WeightReader::createUnpacked(e, spec.weight, segment, spec.isa,
                                           args, columns)
            : WeightReader::create(e, spec.weight, segment, spec.isa, args));
    readers.push_back(owned.back().get());
  }
  // Where a panel is missing in the last tile, the one before is there again:
  // its sums are loaded twice, before they are stored twice.
  auto forPanels = [&](llvm::function_ref<void()> body) {
    e.loop(lower, upper, panels, [&](Value panel) {
      for (auto [i, reader] : llvm::enumerate(readers))
        reader->setPanel(
            i == 0 ? panel : e.min(e.add(panel, i), e.sub(upper, e.index(1))));
      body();
    });
  };
  auto unpack = [&](Value column, Value to, Value next = nullptr) {
    for (WeightReader *reader : readers)
      reader->unpack(column, to, next);
  };
  std::optional<TileProduct> tiles;
  if (inTiles)
    tiles.emplace(e, spec.isa, panels);
  auto tileOf = [&](int64_t tokens) {
    return MicroTile(e, spec, args, readers,
                     planTile(spec.isa, spec.mode, layout, bytes,
                              readers.front()->unit(), k, panels, tokens),
                     tiles ? &*tiles : nullptr);
  };
  Value zero = e.index(0), end = e.index(k);
  int64_t block = std::min(spec.m, tokensPerBlock()),
          blockColumns = oneTile ? k : columnsPerBlock(k, spec.m, columns);
  int64_t run =
      centeredColumnsPerSum(spec.isa, spec.weight.scheme, segment.bits, k);
  std::optional<PairOffsets> offsets;
  if (run)
    offsets.emplace(e, spec.isa, args, segment.bits, k, run, block,
                    blockColumns);
  PairOffsets *begins = offsets ? &*offsets : nullptr;
  if (oneTile) {
    if (begins)
      begins->compute(zero, e.index(spec.m), zero, end);
    forPanels([&] {
      MicroTile tile = tileOf(spec.m);
      tile.store(zero, e.loop(zero, end, columns, tile.zeroSums(),
                              [&](Value column, ValueRange sums) {
                                Value to = e.min(e.add(column, columns), end);
                                unpack(column, to);
                                return tile.addColumns(zero, column, to, sums,
                                                       begins, zero, {});
                              }));
    });
    return;
  }
  // A block of activations that stays in L2 meets all panels, of each a piece
  // at a time that stays in L1. The sums wait in L1 or L2 for the next piece,
  // and in y for the next block of columns.
  Value waiting;
  if (columns < blockColumns)
    waiting = memref::AllocaOp::create(
        e, MemRefType::get({block, 16 * panels}, e.getF32Type()),
        e.getI64IntegerAttr(64));
  auto meet = [&](Value first, int64_t count, Value begin, Value blockEnd) {
    auto forTiles = [&](llvm::function_ref<void(MicroTile &, Value)> body) {
      e.pieces(count, most, {}, [&](Value token, int64_t tokens, ValueRange) {
        MicroTile tile = tileOf(tokens);
        body(tile, token);
        return SmallVector<Value>();
      });
    };
    // While a piece meets many tokens, there is time to get the next one: a
    // few lines a tile and group. All at once they would be more than the core
    // can wait for at a time, and it would stop.
    MicroTile::Fetch fetch;
    fetch.turns = llvm::divideCeil(count, most);
    auto multiply = [&](MicroTile &tile, Value token, Value column, Value to,
                        ValueRange sums) {
      fetch.turn = e.udiv(token, most);
      return tile.addColumns(e.add(first, token), column, to, sums, begins,
                             token, fetch);
    };
    if (begins)
      begins->compute(first, e.index(count), begin, blockEnd);
    forPanels([&] {
      auto unpackPiece = [&](Value column, Value to) {
        if (fetchesNextPiece(spec.m)) {
          Value last =
              arith::CmpIOp::create(e, arith::CmpIPredicate::sge, to, blockEnd);
          fetch.next =
              arith::SelectOp::create(e, last, e.add(begin, k * panels), to);
        }
        unpack(column, to, fetch.next);
      };
      auto sumsSoFar = [&](MicroTile &tile, Value token) {
        return blockColumns == k ? tile.zeroSums()
                                 : tile.loadStoredSums(e.add(first, token));
      };
      auto store = [&](MicroTile &tile, Value token, ValueRange sums) {
        tile.store(e.add(first, token), sums);
        if (blockColumns < k)
          tile.fetchNextRows();
      };
      if (columns == blockColumns) {
        unpackPiece(begin, blockEnd);
        forTiles([&](MicroTile &tile, Value token) {
          store(tile, token,
                multiply(tile, token, begin, blockEnd, sumsSoFar(tile, token)));
        });
        return;
      }
      forTiles([&](MicroTile &tile, Value token) {
        tile.keepSums(waiting, token, sumsSoFar(tile, token));
      });
      e.loop(begin, blockEnd, columns, [&](Value column) {
        Value pieceEnd = e.min(e.add(column, columns), blockEnd);
        unpackPiece(column, pieceEnd);
        forTiles([&](MicroTile &tile, Value token) {
          tile.keepSums(waiting, token,
                        multiply(tile, token, column, pieceEnd,
                                 tile.loadSums(waiting, token)));
        });
      });
      forTiles([&](MicroTile &tile, Value token) {
        store(tile, token, tile.loadSums(waiting, token));
      });
    });
  };
  e.pieces(spec.m, block, {}, [&](Value first, int64_t count, ValueRange) {
    if (blockColumns == k) {
      meet(first, count, zero, end);
      return SmallVector<Value>();
    }
    MicroTile tile = tileOf(1);
    forPanels([&] {
      e.loop(zero, e.index(count), 1, [&](Value token) {
        tile.store(e.add(first, token), tile.zeroSums());
      });
    });
    e.loop(zero, end, blockColumns, [&](Value column) {
      meet(first, count, column, e.min(e.add(column, blockColumns), end));
    });
    return SmallVector<Value>();
  });
}

void MatmulKernel::forCherryTokens(
    llvm::function_ref<void(Value, int64_t)> body) {
  if (spec.weight.cherries.form != CherryForm::None && !spec.transposed &&
      !looksUpCherries(spec))
    forTokens(4, body);
}

void MatmulKernel::emitSegment(const Segment &segment, Value lower,
                               Value upper) {
  auto reader = WeightReader::create(e, spec.weight, segment, spec.isa, args);
  auto decide = [&](auto heuristic) {
    return heuristic(spec.isa, spec.mode, spec.weight.layout.kind, segment.bits,
                     spec.weight.k, spec.m);
  };
  if (decide(takesBlocks)) {
    emitBlocks(segment, lower, upper, decide(unpacksPanels));
    // Of many tokens a few at a time, for all panels: cherries read activations
    // here and there, and those of a few tokens stay in L1.
    forCherryTokens([&](Value token, int64_t tokens) {
      e.loop(lower, upper, 1, [&](Value panel) {
        reader->setPanel(panel);
        emitCherries(e, spec, args, *reader, token, tokens);
      });
    });
  } else {
    auto multiply = [&](Value first, Value end) {
      e.loop(first, end, 1, [&](Value panel) {
        reader->setPanel(panel);
        emitPanel(*reader);
      });
    };
    if (looksUpCherries(spec))
      emitCherriesByTable(e, spec, args, *reader, lower, upper, multiply);
    else
      multiply(lower, upper);
  }
  if (spec.transposed)
    emitCherriesByColumn(e, spec, args, *reader, lower, upper);
}

/// `type` without the sizes and strides that depend on the rows of a weight.
static MemRefType withoutRows(MemRefType type) {
  if (!type || type.getRank() == 0)
    return type;
  bool matrix = type.getRank() == 2;
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = ShapedType::kDynamic;
  if (type.getLayout().isIdentity())
    return MemRefType::get(shape, type.getElementType());
  int64_t any = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(type.getContext(), any,
                                       matrix ? ArrayRef<int64_t>{any, 1}
                                              : ArrayRef<int64_t>{1});
  return MemRefType::get(shape, type.getElementType(), layout);
}

std::string MatmulKernel::segmentName(const Segment &segment) const {
  // Rows enough for nothing to depend on them, in one segment.
  MatmulSpec shared = spec;
  shared.weight.scheme.bits = segment.bits;
  shared.weight.layout =
      Layout::uniform(spec.weight.layout.kind, 16, segment.bits);
  shared.weight.layout.permuted = spec.weight.layout.permuted;
  shared.weight.n = 16;
  std::string name = shared.name();
  // cq_matmul_w16x576_… covers any number of rows.
  name.replace(0, StringRef("cq_matmul_w16x").size(), "cq_panels_k");
  return segment.ragged() ? name + "_ragged" : name;
}

void MatmulKernel::callSegment(const Segment &segment, Value lower, Value upper,
                               KernelCache &cache) {
  using Slot = Value KernelArgs::*;
  // In the order of a product's arguments; the last six depend on the rows.
  constexpr Slot slots[] = {&KernelArgs::x,
                            &KernelArgs::activationCodes,
                            &KernelArgs::activationScales,
                            &KernelArgs::activationSums,
                            &KernelArgs::codes,
                            &KernelArgs::scales,
                            &KernelArgs::zeros,
                            &KernelArgs::cherryColumns,
                            &KernelArgs::cherryDeltas,
                            &KernelArgs::rowOrder,
                            &KernelArgs::y};
  constexpr Slot places[] = {&KernelArgs::rowBegin, &KernelArgs::rowEnd,
                             &KernelArgs::panelBegin, &KernelArgs::codeOffset,
                             &KernelArgs::rows};
  SmallVector<Value> operands;
  for (auto [i, slot] : llvm::enumerate(slots)) {
    Value value = args.*slot;
    if (!value)
      continue;
    auto type = cast<MemRefType>(value.getType());
    MemRefType wanted = i < 4 ? type : withoutRows(type);
    if (wanted != type)
      value = memref::CastOp::create(e, wanted, value);
    operands.push_back(value);
  }
  for (int64_t place : {segment.rowBegin, segment.rowBegin + segment.rows,
                        segment.panelBegin, segment.codeOffset, spec.weight.n})
    operands.push_back(e.index(place));
  operands.append({lower, upper});

  func::FuncOp shared = cache.get(
      segmentName(segment), ValueRange(operands).getTypes(),
      [&](OpBuilder &builder, StringRef name) {
        OpBuilder::InsertionGuard guard(builder);
        auto function = func::FuncOp::create(
            builder, e.getLoc(), name,
            builder.getFunctionType(ValueRange(operands).getTypes(), {}));
        Block *entry = function.addEntryBlock();
        KernelArgs inner;
        unsigned next = 0;
        for (Slot slot : slots)
          if (args.*slot)
            inner.*slot = entry->getArgument(next++);
        for (Slot place : places)
          inner.*place = entry->getArgument(next++);
        Emitter body(e.getLoc(), builder);
        body.setInsertionPointToStart(entry);
        MatmulKernel(body, spec, inner)
            .emitSegment(segment, entry->getArgument(next),
                         entry->getArgument(next + 1));
        func::ReturnOp::create(body);
        return function;
      });
  func::CallOp::create(e, shared, operands);
}

void MatmulKernel::emit(KernelCache *cache) {
  SmallVector<Segment> segments = segmentsOf(spec.weight);
  // Linear planes, for interchange, are rare.
  if (spec.weight.layout.kind != LayoutKind::Panel16)
    cache = nullptr;
  for (const Segment &segment : segments) {
    Value lower = args.begin, upper = args.end;
    if (segments.size() > 1) {
      Value first = e.index(segment.panelBegin);
      lower = e.max(e.sub(args.begin, first), e.index(0));
      upper = e.min(e.sub(args.end, first), e.index(segment.panels()));
    }
    if (cache)
      callSegment(segment, lower, upper, *cache);
    else
      emitSegment(segment, lower, upper);
  }
}

func::FuncOp mlir::cq::x86::buildMatmulKernel(OpBuilder &builder, Location loc,
                                              StringRef name,
                                              const MatmulSpec &spec,
                                              const MatmulTypes &types,
                                              KernelCache *cache) {
  OpBuilder::InsertionGuard guard(builder);
  KernelArgs args;
  std::pair<MemRefType, Value *> slots[] = {
      {types.x, &args.x},
      {types.activationCodes, &args.activationCodes},
      {types.activationScales, &args.activationScales},
      {types.activationSums, &args.activationSums},
      {types.codes, &args.codes},
      {types.scales, &args.scales},
      {types.zeros, &args.zeros},
      {types.cherryColumns, &args.cherryColumns},
      {types.cherryDeltas, &args.cherryDeltas},
      {types.rowOrder, &args.rowOrder},
      {types.y, &args.y}};
  func::FuncOp func =
      createKernelFunction(builder, loc, name, slots, args.begin, args.end);

  Emitter e(loc, builder);
  e.setInsertionPointToStart(&func.front());
  MatmulKernel(e, spec, args).emit(cache);
  func::ReturnOp::create(e);
  return func;
}
