//===- MaterializeParameters.cpp - Evaluate quantized weights -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArchiveBytes.h"
#include "PlaneCache.h"
#include "WeightEvaluation.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Model/PackedCheckpoint.h"
#include "cq/Model/ResumableSafetensors.h"
#include "cq/Support/Progress.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_sha1_ostream.h"
#include <deque>

namespace mlir::cq {
#define GEN_PASS_DEF_CQMATERIALIZEPARAMETERS
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

/// All chains with one signature.
struct ChainGroup {
  std::string name;   ///< base name of the planes
  std::string weight; ///< name of the source
  SmallVector<WeightChain, 1> chains;
  WeightChain &first() { return chains.front(); }
};

struct MaterializeParameters
    : cq::impl::CQMaterializeParametersBase<MaterializeParameters> {
  using CQMaterializeParametersBase::CQMaterializeParametersBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQMaterializeParametersBase::getDependentDialects(registry);
    registry.insert<arith::ArithDialect, ml_program::MLProgramDialect>();
  }

  void runOnOperation() override {
    symbols.emplace(getOperation());
    llvm::Expected<std::unique_ptr<WeightStatistics>> opened =
        WeightStatistics::open(statistics);
    if (!opened) {
      (void)fail(llvm::toString(opened.takeError()));
      return signalPassFailure();
    }
    weightStatistics = std::move(*opened);
    if (reuse)
      planeCache.emplace(weightStatistics.get());
    collect();
    if (failed(parametersOut.empty() ? materializeInline() : materializeAll()))
      return signalPassFailure();
    eraseDead();
  }

private:
  unsigned threadCount() {
    // One thread, when MLIR is told to use one; the bytes are the same.
    return getContext().isMultithreadingEnabled() ? threads.getValue() : 1;
  }

  LogicalResult fail(const Twine &what) {
    return emitError(getOperation().getLoc()) << what;
  }

  std::string nameOf(const WeightChain &chain, unsigned &unnamed) {
    if (ml_program::GlobalOp global = getGlobal(chain.source, *symbols))
      return global.getSymName().str();
    Operation *op = chain.source.getDefiningOp();
    if (auto facts = op->getAttrOfType<DictionaryAttr>(kWeightAttrName))
      if (auto name = facts.getAs<StringAttr>("name"))
        return name.getValue().str();
    if (auto resource = dyn_cast<DenseResourceElementsAttr>(
            cast<arith::ConstantOp>(op).getValue()))
      return resource.getRawHandle().getKey().str();
    return "weight" + std::to_string(unnamed++);
  }

  void collect() {
    unsigned unnamed = 0;
    llvm::StringMap<unsigned> taken;
    llvm::StringMap<ChainGroup *> bySignature;
    getOperation()->walk([&](PackOp pack) {
      FailureOr<WeightChain> chain = matchWeightChain(pack, *symbols);
      if (failed(chain))
        return;
      auto [it, fresh] = bySignature.try_emplace(chain->signature, nullptr);
      if (fresh) {
        it->second = &groups.emplace_back();
        std::string name = nameOf(*chain, unnamed);
        it->second->weight = name;
        if (chain->slice >= 0)
          name += "." + std::to_string(chain->slice);
        unsigned again = taken[name]++;
        it->second->name = again ? name + "." + std::to_string(again) : name;
      }
      chainPacks.insert(pack);
      it->second->chains.push_back(*chain);
    });
  }

  static bool isExtern(ml_program::GlobalOp global) {
    return isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr());
  }

  llvm::Expected<PackedWeight> evaluateGroup(ChainGroup &group,
                                             std::vector<float> numbers) {
    llvm::Expected<EvaluatedWeight> result =
        evaluate(group.first(), std::move(numbers), group.weight,
                 weightStatistics.get(), threadCount());
    if (!result)
      return result.takeError();
    if (!result->fallback.empty()) {
      ++numFallbacks;
      emitRemark(group.first().pack.getLoc()) << result->fallback;
    }
    return std::move(result->packed);
  }

  /// Codes and scales of a checkpoint that is quantized already, where the plan
  /// asks for what is stored; else nothing, and the values are quantized anew.
  std::optional<PackedWeight> takeStored(ChainGroup &group,
                                         const ParameterInfo &info) {
    WeightChain &chain = group.first();
    if (!info.packed || chain.matrix != chain.source)
      return std::nullopt;
    llvm::Expected<CheckpointWeight> stored = info.packed->readStored(info);
    if (!stored) {
      llvm::consumeError(stored.takeError());
      return std::nullopt;
    }
    CherrySpec cherries;
    if (chain.extract)
      cherries = chain.extract.getCherries().getSpec();
    PackOp pack = chain.pack;
    Layout layout = pack.getLayout().getLayout();
    const QuantizedWeight &weight = stored->weight;
    bool sameRows =
        layout.isMixed() == !weight.segments.empty() &&
        layout.permuted == !weight.order.empty() &&
        (weight.segments.empty() || weight.segments == layout.segments);
    if (weight.scheme != pack.getScheme().getScheme() || !sameRows ||
        !(stored->cherries.spec == cherries))
      return std::nullopt;
    return packWeight(weight, &stored->cherries, layout);
  }

  //===--------------------------------------------------------------------===//
  // Inline
  //===--------------------------------------------------------------------===//

  /// Replaces every plane of every chain of a group by what `create` makes.
  void replace(ChainGroup &group,
               llvm::function_ref<Value(OpBuilder &, Location, unsigned,
                                        StringRef, RankedTensorType)>
                   create) {
    for (WeightChain &chain : group.chains) {
      OpBuilder b(chain.begin());
      for (auto [number, plane] : llvm::enumerate(chain.planes()))
        plane.second.replaceAllUsesWith(
            create(b, chain.pack.getLoc(), number, plane.first,
                   cast<RankedTensorType>(plane.second.getType())));
    }
  }

  LogicalResult materializeInline(ChainGroup &group) {
    WeightChain &chain = group.first();
    ElementsAttr elements;
    if (ml_program::GlobalOp global = getGlobal(chain.source, *symbols)) {
      if (isExtern(global))
        return success(); // symbolic until an archive is written
      elements = dyn_cast_if_present<ElementsAttr>(global.getValueAttr());
    } else {
      elements = cast<ElementsAttr>(
          chain.source.getDefiningOp<arith::ConstantOp>().getValue());
    }
    if (!elements)
      return success();
    llvm::Expected<std::vector<float>> numbers = readElements(elements);
    llvm::Expected<PackedWeight> packed =
        numbers ? evaluateGroup(group, std::move(*numbers))
                : llvm::Expected<PackedWeight>(numbers.takeError());
    if (!packed)
      return fail("weight '" + group.name +
                  "': " + llvm::toString(packed.takeError()));
    SmallVector<Attribute, 6> values;
    for (auto [plane, bytes] :
         llvm::zip_equal(chain.planes(), planeBytesOf(*packed))) {
      ArrayRef<char> data(reinterpret_cast<const char *>(bytes.data()),
                          bytes.size());
      values.push_back(DenseResourceElementsAttr::get(
          cast<RankedTensorType>(plane.second.getType()),
          group.name + ":" + plane.first.str(),
          HeapAsmResourceBlob::allocateAndCopyWithAlign(data, 64)));
      numBytes += bytes.size();
    }
    replace(group,
            [&](OpBuilder &b, Location loc, unsigned number, StringRef,
                RankedTensorType) -> Value {
              return arith::ConstantOp::create(b, loc,
                                               cast<TypedAttr>(values[number]));
            });
    ++numWeights;
    return success();
  }

  LogicalResult materializeInline() {
    for (ChainGroup &group : groups)
      if (failed(materializeInline(group)))
        return failure();
    return success();
  }

  //===--------------------------------------------------------------------===//
  // By reference
  //===--------------------------------------------------------------------===//

  /// Where a global's numbers go in the new archive.
  struct Parameter {
    ml_program::GlobalOp global;
    SmallVector<ChainGroup *, 1> groups; ///< planes made from it
    bool copied = false;                 ///< still read as it is
  };

  /// Of all that the new archive's bytes depend on: the module with its plan,
  /// and the files, by size and time.
  std::string fingerprint(StringRef input, StringRef inputFile) {
    llvm::raw_sha1_ostream os;
    getOperation()->print(os, OpPrintingFlags().elideLargeElementsAttrs());
    for (StringRef file : {input, inputFile, StringRef(statistics)}) {
      llvm::sys::fs::file_status status;
      os << '\n' << file;
      if (!file.empty() && !llvm::sys::fs::status(file, status))
        os << ' ' << status.getSize() << ' '
           << status.getLastModificationTime().time_since_epoch().count();
    }
    return llvm::toHex(os.sha1());
  }

  std::string inputPath() {
    if (!parameters.empty())
      return parameters;
    auto attr = getOperation()->getAttrOfType<StringAttr>("cq.parameters");
    return attr ? attr.getValue().str() : "";
  }

  LogicalResult materializeAll() {
    if (failed(materializeInline()))
      return failure();
    std::string path = inputPath();
    if (path.empty())
      return fail("no archive to read: give parameters=FILE, or a module with "
                  "the attribute cq.parameters");
    llvm::Expected<std::unique_ptr<ParameterArchive>> archive =
        ParameterArchive::open(path);
    if (!archive)
      return fail(llvm::toString(archive.takeError()));
    declareParameters(getOperation(), **archive);

    SmallVector<Parameter> parameterList = listParameters();
    if (failed(check(parameterList, **archive)))
      return failure();
    llvm::Expected<std::unique_ptr<ResumableSafetensorsWriter>> writer =
        ResumableSafetensorsWriter::create(
            parametersOut, entriesOf(parameterList), {{"format", "cq"}},
            fingerprint(path, (*archive)->path()));
    if (!writer)
      return fail(llvm::toString(writer.takeError()));
    // What a killed run finished: whole parameters, of one or several entries.
    size_t finished = 0, entries = 0;
    for (; finished < parameterList.size(); ++finished) {
      size_t more = entriesOf(parameterList[finished]).size();
      if (entries + more > (*writer)->completed())
        break;
      entries += more;
    }
    // On the stream of progress: nobody sees remarks of the command line tools.
    if (entries != 0 && progress)
      llvm::errs() << "continues a run that was stopped: " << finished << " of "
                   << parameterList.size() << " tensors are done\n";
    if (llvm::Error error = (*writer)->skipTo(entries))
      return fail(llvm::toString(std::move(error)));
    Progress line(progress ? llvm::errs() : llvm::nulls(), "quantizing",
                  static_cast<int64_t>(parameterList.size()));
    for (auto [index, parameter] : llvm::enumerate(parameterList)) {
      if (index >= finished && failed(write(parameter, **archive, **writer)))
        return failure();
      line.advance(parameter.global.getSymName());
    }
    line.finish();
    if (llvm::Error error = (*writer)->commit())
      return fail(llvm::toString(std::move(error)));
    for (Parameter &parameter : parameterList)
      rewrite(parameter);
    getOperation()->setAttr(
        "cq.parameters",
        StringAttr::get(&getContext(),
                        llvm::sys::path::filename(parametersOut)));
    return success();
  }

  /// Extern globals in order, with what is needed of them.
  SmallVector<Parameter> listParameters() {
    llvm::MapVector<Operation *, Parameter> byGlobal;
    for (auto global : getOperation().getOps<ml_program::GlobalOp>())
      if (isExtern(global))
        byGlobal[global].global = global;
    DenseSet<Operation *> chainLoads;
    for (ChainGroup &group : groups)
      for (WeightChain &chain : group.chains)
        if (ml_program::GlobalOp global = getGlobal(chain.source, *symbols)) {
          auto found = byGlobal.find(global);
          if (found == byGlobal.end())
            continue;
          auto &list = found->second.groups;
          if (!llvm::is_contained(list, &group))
            list.push_back(&group);
        }
    // A load that something besides its chains uses needs the tensor itself.
    getOperation()->walk([&](Operation *op) {
      if (!isa<ml_program::GlobalLoadOp, ml_program::GlobalLoadConstOp>(op))
        return;
      auto global = getGlobal(op->getResult(0), *symbols);
      auto found = global ? byGlobal.find(global) : byGlobal.end();
      if (found != byGlobal.end() && !feedsOnlyChains(op))
        found->second.copied = true;
    });
    SmallVector<Parameter> list;
    for (auto &entry : byGlobal)
      list.push_back(std::move(entry.second));
    return list;
  }

  bool feedsOnlyChains(Operation *op) {
    return llvm::all_of(op->getUsers(), [&](Operation *user) {
      if (isa<QuantizeOp>(user)) {
        return llvm::any_of(user->getUsers(), [&](Operation *pack) {
          return chainPacks.contains(pack);
        });
      }
      if (isa<ExtractCherriesOp, RankRowsOp>(user))
        return true;
      return isMemoryEffectFree(user) && user->getNumResults() != 0 &&
             !user->hasTrait<OpTrait::IsTerminator>() && feedsOnlyChains(user);
    });
  }

  LogicalResult check(ArrayRef<Parameter> list, ParameterArchive &archive) {
    for (const Parameter &parameter : list) {
      if (!parameter.copied && parameter.groups.empty())
        continue;
      ml_program::GlobalOp global = parameter.global;
      const ParameterInfo *info = archive.find(global.getSymName());
      if (!info)
        return fail("tensor '" + global.getSymName() + "' is not in " +
                    archive.path() +
                    "; give the archive this module was imported from");
      auto type = dyn_cast<RankedTensorType>(global.getType());
      if (!type || type.getShape() != ArrayRef<int64_t>(info->shape))
        return fail("tensor '" + global.getSymName() + "' of " +
                    archive.path() +
                    " has not the shape of the global; give "
                    "the archive this module was imported from");
      if (!toDType(type.getElementType()))
        return fail("global '" + global.getSymName() +
                    "' has elements that an archive cannot hold");
      if (!type.getElementType().isF32() &&
          toDType(type.getElementType()) != info->type)
        return fail("tensor '" + global.getSymName() + "' of " +
                    archive.path() + " has not the element type of the global");
    }
    return success();
  }

  std::vector<SafetensorsWriter::Entry> entriesOf(ArrayRef<Parameter> list) {
    std::vector<SafetensorsWriter::Entry> entries;
    auto add = [&](std::string name, RankedTensorType type) {
      entries.push_back({std::move(name), *toDType(type.getElementType()),
                         llvm::SmallVector<int64_t, 4>(type.getShape())});
    };
    for (const Parameter &parameter : list) {
      ml_program::GlobalOp global = parameter.global;
      if (parameter.copied)
        add(global.getSymName().str(),
            cast<RankedTensorType>(global.getType()));
      for (ChainGroup *group : parameter.groups)
        for (auto &plane : group->first().planes())
          add(group->name + ":" + plane.first.str(),
              cast<RankedTensorType>(plane.second.getType()));
    }
    return entries;
  }

  LogicalResult write(Parameter &parameter, ParameterArchive &archive,
                      SafetensorsWriter &writer) {
    if (!parameter.copied && parameter.groups.empty())
      return success();
    StringRef name = parameter.global.getSymName();
    const ParameterInfo *info = archive.find(name);
    auto fails = [&](llvm::Error error) {
      return fail("weight '" + name + "' of " + archive.path() + ": " +
                  llvm::toString(std::move(error)));
    };
    auto type = cast<RankedTensorType>(parameter.global.getType());
    if (parameter.copied && !type.getElementType().isF32()) {
      ++numCopied;
      if (llvm::Error error = writer.append(info->bytes))
        return fails(std::move(error));
      if (parameter.groups.empty())
        return success();
    }
    std::vector<float> numbers;
    auto decode = [&]() -> llvm::Error {
      if (!numbers.empty())
        return llvm::Error::success();
      numbers.resize(info->numElements());
      return ParameterArchive::readAsF32(*info, numbers.data(), threadCount());
    };
    if (parameter.copied && type.getElementType().isF32()) {
      ++numCopied;
      if (llvm::Error error = decode())
        return fails(std::move(error));
      ArrayRef<uint8_t> bytes(reinterpret_cast<uint8_t *>(numbers.data()),
                              numbers.size() * sizeof(float));
      if (llvm::Error error = writer.append(bytes))
        return fails(std::move(error));
    }
    for (ChainGroup *group : parameter.groups) {
      std::optional<PackedWeight> packed = takeStored(*group, *info);
      std::string key;
      if (!packed) {
        if (llvm::Error error = decode())
          return fails(std::move(error));
        if (planeCache) {
          key = planeCache->keyOf(group->first(), group->weight, numbers);
          if (auto planes = planeCache->load(group->first(), key)) {
            for (ArrayRef<uint8_t> bytes : *planes)
              if (llvm::Error error = writer.append(bytes))
                return fails(std::move(error));
            ++numReused;
            continue;
          }
        }
        bool last = group == parameter.groups.back();
        llvm::Expected<PackedWeight> made = evaluateGroup(
            *group, last ? std::move(numbers) : std::vector<float>(numbers));
        if (!made)
          return fails(made.takeError());
        packed = std::move(*made);
        if (planeCache)
          planeCache->store(key, *packed);
      }
      for (ArrayRef<uint8_t> bytes : planeBytesOf(*packed)) {
        numBytes += bytes.size();
        if (llvm::Error error = writer.append(bytes))
          return fails(std::move(error));
      }
      ++numWeights;
    }
    return success();
  }

  /// Globals for the planes, loads in the place of chains.
  void rewrite(Parameter &parameter) {
    ml_program::GlobalOp global = parameter.global;
    OpBuilder b(&getContext());
    b.setInsertionPointAfter(global);
    for (ChainGroup *group : parameter.groups) {
      for (auto &plane : group->first().planes()) {
        Type type = plane.second.getType();
        ml_program::GlobalOp::create(
            b, global.getLoc(), group->name + ":" + plane.first.str(), type,
            /*is_mutable=*/false,
            ml_program::ExternAttr::get(&getContext(), type),
            b.getStringAttr("private"));
      }
      replace(*group,
              [&](OpBuilder &builder, Location loc, unsigned, StringRef plane,
                  RankedTensorType type) -> Value {
                return ml_program::GlobalLoadOp::create(
                    builder, loc, type,
                    SymbolRefAttr::get(&getContext(),
                                       group->name + ":" + plane.str()));
              });
    }
    if (!parameter.copied)
      unneeded.push_back(global);
  }

  /// Chains, their sources, and extern globals nobody loads.
  void eraseDead() {
    getOperation()->walk<WalkOrder::PostOrder, ReverseIterator>(
        [](Operation *op) {
          bool load = isa<ml_program::GlobalLoadOp>(op) && op->use_empty();
          if (load || isOpTriviallyDead(op))
            op->erase();
        });
    // The facts have served.
    getOperation()->walk(
        [](Operation *op) { op->removeAttr(kWeightAttrName); });
    llvm::StringSet<> used;
    if (auto uses = SymbolTable::getSymbolUses(&getOperation().getBodyRegion()))
      for (const SymbolTable::SymbolUse &use : *uses)
        used.insert(use.getSymbolRef().getRootReference());
    for (ml_program::GlobalOp global : unneeded)
      if (!used.contains(global.getSymName()))
        global.erase();
  }

  std::optional<SymbolTable> symbols;
  std::shared_ptr<WeightStatistics> weightStatistics; ///< null without
  std::optional<PlaneCache> planeCache;               ///< with `reuse`
  DenseSet<Operation *> chainPacks;
  std::deque<ChainGroup> groups; ///< in order; addresses stay
  SmallVector<ml_program::GlobalOp> unneeded;
};

} // namespace
