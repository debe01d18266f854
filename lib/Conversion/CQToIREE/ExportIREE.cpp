//===- ExportIREE.cpp - cq-export-iree ------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InlineWeightFunctions.h"
#include "KernelCall.h"
#include "KernelObject.h"
#include "ProductEmitter.h"
#include "WeightSource.h"
#include "cq/Conversion/CQToIREE/CQToIREE.h"
#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "cq/Dialect/CQ/IR/ArchiveTypes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Model/IRPA.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Path.h"
#include <deque>

namespace mlir::cq {
#define GEN_PASS_DEF_CQEXPORTIREE
#include "cq/Conversion/CQToIREE/CQToIREE.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::toiree;

namespace {

/// A weight that some products and gathers read.
struct Export {
  std::string name;
  StoredWeight stored;
  PlaneOperands planes;
  std::vector<StoredPlane> list;
  SmallVector<Operation *, 1> users;
  /// What stands for each plane: a symbol, or a constant.
  std::vector<Attribute> values;
};

/// A tensor that is stored as it is.
struct Copied {
  ml_program::GlobalOp global;
  RankedTensorType type;
};

/// What the pass counts.
struct Counts {
  int64_t products = 0, kernelCalls = 0, weights = 0, bytes = 0;
};

/// One run of the pass.
class Exporter {
public:
  Exporter(ModuleOp op, const CQExportIREEOptions &options)
      : op(op), parameters(options.parameters),
        parametersOut(options.parametersOut), scope(options.scope),
        codes(options.codes), kernelPath(options.kernels),
        targetCPU(options.targetCPU) {}

  LogicalResult run();
  const Counts &getCounts() const { return counts; }

private:
  ModuleOp module() { return op; }
  MLIRContext *context() { return op.getContext(); }
  LogicalResult fail(const Twine &what) {
    return emitError(module().getLoc()) << "cq-export-iree: " << what;
  }
  LogicalResult openArchive();
  LogicalResult collect();
  LogicalResult collect(Operation *op, PlaneOperands planes,
                        StoredWeight stored);
  LogicalResult collectCopied();
  LogicalResult store();
  LogicalResult openWriter(ArrayRef<ParameterWriter::Entry> entries);
  LogicalResult storeInline(Export &weight,
                            std::vector<std::vector<uint8_t>> bytes);
  llvm::Error append(Copied &copied);
  void rewrite(Export &weight);
  void nameParameter(ml_program::GlobalOp global, StringRef name);
  void eraseDead();

  ModuleOp op;
  std::string parameters, parametersOut, scope, codes, kernelPath, targetCPU;
  std::optional<KernelObject> kernels;
  Counts counts;
  std::optional<SymbolTable> symbols;
  std::unique_ptr<ParameterArchive> archive;
  std::unique_ptr<WeightSource> source;
  std::unique_ptr<ParameterWriter> writer;
  std::deque<Export> weights;
  SmallVector<Copied> copies;
  llvm::StringMap<Export *> bySignature;
  llvm::StringMap<unsigned> taken;
};

struct ExportIREE : cq::impl::CQExportIREEBase<ExportIREE> {
  using CQExportIREEBase::CQExportIREEBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    CQExportIREEBase::getDependentDialects(registry);
    registerBuiltinDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
  }

  void runOnOperation() override {
    Exporter exporter(getOperation(), {parameters, parametersOut, scope, codes,
                                       kernels, targetCPU});
    if (failed(exporter.run()))
      return signalPassFailure();
    numProducts += exporter.getCounts().products;
    numKernelCalls += exporter.getCounts().kernelCalls;
    numWeights += exporter.getCounts().weights;
    numBytes += exporter.getCounts().bytes;
    // What is left has no weights: activations, observations, attributes.
    OpPassManager pm(ModuleOp::getOperationName());
    pm.addPass(createConvertCQToLinalg());
    if (failed(runPipeline(pm, getOperation())))
      return signalPassFailure();
    generalize();
  }

  /// Named element-wise ops come and go between versions of linalg: those of
  /// 22 (linalg.add, linalg.exp …) are unknown to IREE 3.13.
  void generalize() {
    SmallVector<linalg::LinalgOp> named;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (!isa<linalg::GenericOp, linalg::FillOp>(op) &&
          linalg::isElementwise(op))
        named.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::LinalgOp op : named) {
      rewriter.setInsertionPoint(op);
      (void)linalg::generalizeNamedOp(rewriter, op);
    }
  }
};

} // namespace

static llvm::Error failWith(const Twine &what) { return mlir::cq::fail(what); }

static bool isExtern(ml_program::GlobalOp global) {
  return isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr());
}

LogicalResult Exporter::run() {
  if (codes != "packed" && codes != "bytes")
    return fail("codes is packed or bytes, not '" + codes + "'");
  // Names end inside of a foreign attribute's text.
  if (scope.empty() || !llvm::all_of(scope, [](char c) {
        return llvm::isAlnum(c) || c == '_' || c == '-' || c == '.';
      }))
    return fail("a scope has letters, digits, '_', '-' and '.'");
  if ((!parametersOut.empty() || !kernelPath.empty()) &&
      !context()->allowsUnregisteredDialects())
    return fail(
        "named parameters and calls of kernels are in IREE's dialects; run "
        "with --allow-unregistered-dialect");
  if (!parametersOut.empty() &&
      !StringRef(parametersOut).ends_with(".safetensors") &&
      !StringRef(parametersOut).ends_with(".irpa"))
    return fail("IREE tells archives by their ending: parameters-out has to "
                "end in .safetensors or .irpa");
  // IREE would put small constants into the dispatch, where a call cannot take
  // their address.
  if (!kernelPath.empty() && parametersOut.empty())
    return fail("kernels=FILE needs parameters-out=FILE: our kernels read "
                "planes from an archive");
  if (failed(inlineWeightFunctions(module())))
    return failure();
  symbols.emplace(module());
  if (failed(openArchive()))
    return failure();
  if (!kernelPath.empty()) {
    auto created = KernelObject::create(context(), targetCPU);
    if (!created)
      return fail(llvm::toString(created.takeError()));
    kernels.emplace(std::move(*created));
  }
  source = std::make_unique<WeightSource>(*symbols, archive.get());
  if (failed(collect()) || failed(collectCopied()) || failed(store()))
    return failure();
  for (Export &weight : weights)
    rewrite(weight);
  SmallVector<DynamicQuantizeOp> activations;
  module().walk([&](DynamicQuantizeOp op) {
    if (isa<RankedTensorType>(op.getX().getType()))
      activations.push_back(op);
  });
  for (DynamicQuantizeOp op : activations) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    op->replaceAllUsesWith(emitDynamicQuantize(b, op));
    op.erase();
  }
  eraseDead();
  if (!kernels)
    return success();
  auto object = kernels->compile();
  if (!object)
    return fail(llvm::toString(object.takeError()));
  if (llvm::Error error = writeFileAtomically(kernelPath, *object))
    return fail(llvm::toString(std::move(error)));
  return success();
}

LogicalResult Exporter::openArchive() {
  bool needed = llvm::any_of(module().getOps<ml_program::GlobalOp>(),
                             [](auto global) { return isExtern(global); });
  if (!needed)
    return success();
  if (parametersOut.empty())
    return fail(
        "the module has weights by reference; give "
        "parameters-out=FILE.irpa (or .safetensors) for the new archive");
  std::string path = parameters;
  if (auto attr = module()->getAttrOfType<StringAttr>("cq.parameters");
      attr && path.empty())
    path = attr.getValue().str();
  if (path.empty())
    return fail("no archive to read: give parameters=FILE, or a module with "
                "the attribute cq.parameters");
  auto opened = ParameterArchive::open(path);
  if (!opened)
    return fail(llvm::toString(opened.takeError()));
  archive = std::move(*opened);
  for (auto global : module().getOps<ml_program::GlobalOp>()) {
    auto type = dyn_cast<RankedTensorType>(global.getType());
    if (!isExtern(global) || !type || !type.hasStaticShape())
      continue;
    if (std::optional<DType> element = toDType(type.getElementType()))
      archive->declare(global.getSymName(), *element, type.getShape());
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Which weights
//===----------------------------------------------------------------------===//

LogicalResult Exporter::collect(Operation *op, PlaneOperands planes,
                                StoredWeight stored) {
  stored.packed = codes == "packed";
  std::string signature;
  llvm::raw_string_ostream os(signature);
  for (Value plane :
       {planes.codes, planes.scales, planes.zeros, planes.cherryColumns,
        planes.cherryDeltas, planes.rowOrder}) {
    const void *identity = plane ? source->identityOf(plane) : nullptr;
    if (plane && !identity)
      return op->emitOpError("reads a plane that is neither a constant nor an "
                             "immutable global, so that it cannot be stored "
                             "anew for IREE");
    os << identity << ' ';
  }
  os << stored.scheme.str() << ' ' << stored.groupLength << stored.flat;
  Export *&weight = bySignature[signature];
  if (!weight) {
    weight = &weights.emplace_back();
    std::string name = source->nameOf(planes.codes);
    if (name.empty())
      name = "weight" + std::to_string(weights.size() - 1);
    if (name.find_first_of("\"\\") != std::string::npos)
      return op->emitOpError("reads a weight whose name has quotes or "
                             "backslashes, which IREE cannot parse: ")
             << name;
    unsigned again = taken[name]++;
    weight->name = again ? name + "." + std::to_string(again) : name;
    weight->stored = std::move(stored);
    weight->planes = planes;
    weight->list = weight->stored.planes();
  }
  weight->users.push_back(op);
  ++counts.products;
  return success();
}

LogicalResult Exporter::collect() {
  auto isTensor = [](Operation *op) {
    return llvm::none_of(op->getOperandTypes(),
                         [](Type type) { return isa<BaseMemRefType>(type); });
  };
  auto describe = [](auto op) {
    StoredWeight stored;
    stored.scheme = op.getScheme().getScheme();
    stored.layout = op.getLayout().getLayout();
    if (auto cherries = op.getCherries())
      stored.cherries = cherries->getSpec();
    stored.n = op.getN();
    stored.k = op.getK();
    stored.groupLength =
        std::min(stored.scheme.groupLength(stored.k), stored.k);
    return stored;
  };
  WalkResult walk = module().walk([&](Operation *op) -> WalkResult {
    if (auto matmul = dyn_cast<MatmulOp>(op); matmul && isTensor(op)) {
      StoredWeight stored = describe(matmul);
      stored.flat = kernels && canCallKernel(matmul);
      if (matmul.getMode().getMode() == ActivationMode::Int8)
        stored.groupLength = std::min(activationGroup(stored.scheme), stored.k);
      return collect(op,
                     {matmul.getCodes(), matmul.getScales(), matmul.getZeros(),
                      matmul.getCherryColumns(), matmul.getCherryDeltas(),
                      matmul.getRowOrder()},
                     std::move(stored));
    }
    if (auto gather = dyn_cast<GatherOp>(op); gather && isTensor(op)) {
      StoredWeight stored = describe(gather);
      if (stored.layout.segments.size() != 1 || stored.layout.permuted)
        return op->emitOpError("gathers rows of several widths, for which "
                               "there is no form yet; quantize embeddings in "
                               "one width");
      return collect(op,
                     {gather.getCodes(),
                      gather.getScales(),
                      gather.getZeros(),
                      gather.getCherryColumns(),
                      gather.getCherryDeltas(),
                      {}},
                     std::move(stored));
    }
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

/// Globals by reference that something besides products reads.
LogicalResult Exporter::collectCopied() {
  DenseSet<Operation *> read;
  DenseSet<Operation *> replaced;
  for (Export &weight : weights)
    replaced.insert(weight.users.begin(), weight.users.end());
  module().walk([&](Operation *op) {
    if (!isa<ml_program::GlobalLoadOp, ml_program::GlobalLoadConstOp>(op))
      return;
    if (llvm::all_of(op->getUsers(),
                     [&](Operation *user) { return replaced.contains(user); }))
      return;
    if (ml_program::GlobalOp global = source->globalOf(op->getResult(0)))
      read.insert(global);
  });
  for (auto global : module().getOps<ml_program::GlobalOp>()) {
    if (!isExtern(global) || !read.contains(global))
      continue;
    StringRef name = global.getSymName();
    auto type = dyn_cast<RankedTensorType>(global.getType());
    const ParameterInfo *info = archive->find(name);
    if (!info)
      return fail("tensor '" + name + "' is not in " + archive->path() +
                  "; give the archive this module belongs to");
    if (!type || type.getShape() != ArrayRef<int64_t>(info->shape))
      return fail("tensor '" + name + "' of " + archive->path() +
                  " has not the shape of the global; give the archive this "
                  "module belongs to");
    if (name.contains('"') || name.contains('\\'))
      return fail("tensor '" + name +
                  "' has quotes in its name, which IREE "
                  "cannot parse");
    copies.push_back({global, type});
    ++taken[name];
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

/// The archive has no types below a byte: there i2 and i4 are bytes.
static ParameterWriter::Entry entryOf(const Export &weight,
                                      const StoredPlane &plane) {
  std::string name = weight.name + ":" + plane.name;
  switch (plane.element) {
  case Element::I2:
  case Element::I4: {
    SmallVector<int64_t, 4> shape(plane.shape);
    shape.back() = shape.back() * plane.bytes() /
                   (plane.bytes() * (plane.element == Element::I2 ? 4 : 2));
    return {std::move(name), DType::U8, std::move(shape)};
  }
  case Element::I8:
    return {std::move(name), DType::I8, plane.shape};
  case Element::I16:
    return {std::move(name), DType::I16, plane.shape};
  case Element::I32:
    return {std::move(name), DType::I32, plane.shape};
  case Element::F16:
    return {std::move(name), DType::F16, plane.shape};
  case Element::BF16:
    return {std::move(name), DType::BF16, plane.shape};
  case Element::F32:
    return {std::move(name), DType::F32, plane.shape};
  }
  return {};
}

/// A constant of a plane. Resources below a byte an element are no common
/// ground with IREE, and 3.13 does not promote those of bf16: both are dense.
static Attribute constantOf(MLIRContext *context, const Export &weight,
                            const StoredPlane &plane, ArrayRef<uint8_t> bytes) {
  RankedTensorType type = typeOf(context, plane);
  ArrayRef<char> data(reinterpret_cast<const char *>(bytes.data()),
                      bytes.size());
  if (plane.element == Element::BF16)
    return DenseElementsAttr::getFromRawBuffer(type, data);
  if (plane.element != Element::I2 && plane.element != Element::I4)
    return DenseResourceElementsAttr::get(
        type, weight.name + ":" + plane.name,
        HeapAsmResourceBlob::allocateAndCopyWithAlign(data, 64));
  unsigned bits = plane.element == Element::I2 ? 2 : 4;
  SmallVector<APInt> values;
  values.reserve(type.getNumElements());
  for (uint8_t byte : bytes)
    for (unsigned at = 0; at < 8; at += bits)
      values.emplace_back(bits, (byte >> at) & ((1u << bits) - 1));
  return DenseElementsAttr::get(type, values);
}

LogicalResult Exporter::storeInline(Export &weight,
                                    std::vector<std::vector<uint8_t>> bytes) {
  for (auto [plane, data] : llvm::zip_equal(weight.list, bytes))
    weight.values.push_back(constantOf(context(), weight, plane, data));
  return success();
}

llvm::Error Exporter::append(Copied &copied) {
  const ParameterInfo *info = archive->find(copied.global.getSymName());
  Type element = copied.type.getElementType();
  if (toDType(element) == info->type)
    return writer->append(info->bytes);
  if (!element.isF32())
    return failWith("tensor '" + copied.global.getSymName() + "' of " +
                    archive->path() +
                    " has not the element type of the global");
  std::vector<float> numbers(info->numElements());
  if (llvm::Error error = ParameterArchive::readAsF32(*info, numbers.data(), 0))
    return error;
  return writer->append({reinterpret_cast<const uint8_t *>(numbers.data()),
                         numbers.size() * sizeof(float)});
}

LogicalResult Exporter::openWriter(ArrayRef<ParameterWriter::Entry> entries) {
  auto keep = [&](auto created) {
    if (!created)
      return fail(llvm::toString(created.takeError()));
    writer = std::move(*created);
    return success();
  };
  if (StringRef(parametersOut).ends_with(".irpa"))
    return keep(createIRPAWriter(parametersOut, entries));
  return keep(SafetensorsWriter::create(parametersOut, entries,
                                        {{"format", "cq-iree"}}));
}

LogicalResult Exporter::store() {
  if (!parametersOut.empty()) {
    std::vector<ParameterWriter::Entry> entries;
    for (Copied &copied : copies) {
      std::optional<DType> type = toDType(copied.type.getElementType());
      if (!type)
        return fail("global '" + copied.global.getSymName() +
                    "' has elements that an archive cannot hold");
      entries.push_back({copied.global.getSymName().str(), *type,
                         SmallVector<int64_t, 4>(copied.type.getShape())});
    }
    for (const Export &weight : weights)
      for (const StoredPlane &plane : weight.list)
        entries.push_back(entryOf(weight, plane));
    if (failed(openWriter(entries)))
      return failure();
    for (Copied &copied : copies)
      if (llvm::Error error = append(copied))
        return fail(llvm::toString(std::move(error)));
  }
  for (Export &weight : weights) {
    PackedWeight shape;
    shape.n = weight.stored.n;
    shape.k = weight.stored.k;
    shape.scheme = weight.stored.scheme;
    shape.layout = weight.stored.layout;
    shape.cherries = weight.stored.cherries;
    CherryPositions positions;
    auto read = source->read(weight.planes, shape, positions);
    if (!read)
      return fail("weight '" + weight.name +
                  "': " + llvm::toString(read.takeError()));
    auto bytes = weight.stored.flat
                     ? weight.stored.encodeFlat(*read, std::move(shape))
                     : weight.stored.encode(*read, positions);
    ++counts.weights;
    for (const auto &plane : bytes) {
      counts.bytes += plane.size();
      if (writer)
        if (llvm::Error error = writer->append(plane))
          return fail(llvm::toString(std::move(error)));
    }
    if (!writer && failed(storeInline(weight, std::move(bytes))))
      return failure();
  }
  if (writer)
    if (llvm::Error error = writer->commit())
      return fail(llvm::toString(std::move(error)));
  return success();
}

//===----------------------------------------------------------------------===//
// IR
//===----------------------------------------------------------------------===//

void Exporter::nameParameter(ml_program::GlobalOp global, StringRef name) {
  std::string text =
      "parameter.named<\"" + scope + "\"::\"" + name.str() + "\">";
  global.setValueAttr(OpaqueAttr::get(StringAttr::get(context(), "flow"), text,
                                      global.getType()));
}

void Exporter::rewrite(Export &weight) {
  if (writer) {
    OpBuilder builder = OpBuilder::atBlockBegin(module().getBody());
    for (const StoredPlane &plane : weight.list) {
      std::string name = weight.name + ":" + plane.name;
      // The plane of the cq op often has this name, and another shape.
      if (Operation *old = symbols->lookup(name)) {
        symbols->remove(old);
        std::string aside = "cq.old." + std::to_string(taken["cq.old."]++);
        SymbolTable::setSymbolName(old, aside);
      }
      auto global = ml_program::GlobalOp::create(
          builder, module().getLoc(), name, typeOf(context(), plane),
          /*is_mutable=*/false, /*value=*/nullptr,
          builder.getStringAttr("private"));
      nameParameter(global, name);
      symbols->insert(global);
      weight.values.push_back(FlatSymbolRefAttr::get(global));
    }
  }
  auto load = [&](ImplicitLocOpBuilder &b, StringRef plane) -> Value {
    auto found = llvm::find_if(
        weight.list, [&](const StoredPlane &p) { return p.name == plane; });
    Attribute value = weight.values[found - weight.list.begin()];
    if (auto symbol = dyn_cast<FlatSymbolRefAttr>(value))
      return ml_program::GlobalLoadOp::create(b, typeOf(context(), *found),
                                              symbol);
    return arith::ConstantOp::create(b, cast<TypedAttr>(value));
  };
  for (Operation *op : weight.users) {
    ImplicitLocOpBuilder b(op->getLoc(), op);
    Value result;
    if (weight.stored.flat) {
      result = emitKernelCall(b, cast<MatmulOp>(op), weight.stored, load,
                              *kernels, llvm::sys::path::filename(kernelPath));
      ++counts.kernelCalls;
    } else if (auto matmul = dyn_cast<MatmulOp>(op)) {
      result = emitProduct(b, matmul, weight.stored, load);
    } else {
      result = emitGather(b, cast<GatherOp>(op), weight.stored, load);
    }
    op->getResult(0).replaceAllUsesWith(result);
    op->erase();
  }
}

/// Old loads and globals, and the names of the tensors that stay.
void Exporter::eraseDead() {
  bool changed = true;
  while (changed) {
    changed = false;
    SmallVector<Operation *> dead;
    module().walk([&](Operation *op) {
      if (isOpTriviallyDead(op))
        dead.push_back(op);
    });
    for (Operation *op : dead) {
      op->erase();
      changed = true;
    }
  }
  for (Copied &copied : copies)
    nameParameter(copied.global, copied.global.getSymName());
  for (auto global :
       llvm::make_early_inc_range(module().getOps<ml_program::GlobalOp>()))
    if (global.isPrivate() &&
        SymbolTable::symbolKnownUseEmpty(global, module()))
      global.erase();
}
