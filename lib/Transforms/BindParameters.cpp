//===- BindParameters.cpp - Globals and tensors to pointers ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/CallInterface.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"

namespace mlir::cq {
#define GEN_PASS_DEF_BINDPARAMETERS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {
struct BindParametersPass
    : mlir::cq::impl::BindParametersBase<BindParametersPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<ml_program::GlobalOp> globals = getParameterGlobals(module);
    SmallVector<Attribute> order;
    llvm::DenseMap<StringAttr, unsigned> slots;
    for (ml_program::GlobalOp global : globals) {
      slots[global.getSymNameAttr()] = order.size();
      order.push_back(global.getSymNameAttr());
      ++numParameters;
    }
    module->setAttr("cq.parameter_order", ArrayAttr::get(&getContext(), order));

    // Signatures first: binding one function changes what calls look like.
    SmallVector<func::FuncOp> functions;
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal() && function.isPublic())
        functions.push_back(function);
    for (func::FuncOp function : functions)
      if (failed(bind(function, slots)))
        return signalPassFailure();

    // One walk for all: asked global by global, uses took most of the compile
    // time.
    bool foundUse = false;
    if (auto uses = SymbolTable::getSymbolUses(&module.getBodyRegion()))
      for (SymbolTable::SymbolUse use : *uses) {
        if (!slots.contains(use.getSymbolRef().getRootReference()))
          continue;
        use.getUser()->emitError()
            << "loads the parameter " << use.getSymbolRef()
            << " inside a private function; load it in the public caller and "
               "pass it as an argument";
        foundUse = true;
        break;
      }
    if (foundUse)
      return signalPassFailure();
    for (ml_program::GlobalOp global : globals)
      global.erase();
  }

  /// A memref of `type` over the bytes at `pointer`.
  static Value makeBuffer(OpBuilder &b, Location loc,
                          LLVMTypeConverter &converter, RankedTensorType type,
                          Value pointer) {
    auto memref = MemRefType::get(type.getShape(), type.getElementType());
    Value descriptor =
        MemRefDescriptor::fromStaticShape(b, loc, converter, memref, pointer);
    return UnrealizedConversionCastOp::create(b, loc, memref, descriptor)
        .getResult(0);
  }

  /// Distinct pointers are distinct buffers: part of the C interface.
  static Value makeTensor(OpBuilder &b, Location loc, RankedTensorType type,
                          Value buffer, bool writable) {
    return bufferization::ToTensorOp::create(
        b, loc, type, buffer, /*restrict=*/b.getUnitAttr(),
        writable ? b.getUnitAttr() : UnitAttr());
  }

  static FailureOr<RankedTensorType> getStaticTensor(func::FuncOp function,
                                                     Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape())
      return function.emitError()
             << "public function @" << function.getSymName() << " has " << type
             << " in its signature; cq compiles tensors of static shape";
    return tensor;
  }

  LogicalResult bind(func::FuncOp function,
                     const llvm::DenseMap<StringAttr, unsigned> &slots) {
    if (!function.getBody().hasOneBlock())
      return function.emitError("needs a body of one block");
    if (auto uses = SymbolTable::getSymbolUses(function.getSymNameAttr(),
                                               getOperation());
        uses && !uses->empty())
      return uses->begin()->getUser()->emitError()
             << "calls the public function @" << function.getSymName()
             << "; make a private one for both";

    MLIRContext *context = &getContext();
    LLVMTypeConverter converter(context);
    auto pointerType = LLVM::LLVMPointerType::get(context);
    Block &body = function.front();
    Location loc = function.getLoc();
    Operation *terminator = body.getTerminator();
    OpBuilder b = OpBuilder::atBlockBegin(&body);

    SmallVector<std::optional<unsigned>> updated =
        getUpdatedArguments(function);
    // Where an update was recorded and the code does not make it any more.
    SmallVector<bool> moved(updated.size());
    for (auto [i, argument] : llvm::enumerate(updated))
      moved[i] = argument && getUpdatedArgument(function, i) != argument;

    // Arguments.
    unsigned numArguments = body.getNumArguments();
    SmallVector<Value> buffers(numArguments), tensors(numArguments);
    SmallVector<Type> inputs(function.getArgumentTypes());
    for (unsigned i = 0; i < numArguments; ++i) {
      BlockArgument argument = body.getArgument(i);
      if (!isa<TensorType>(argument.getType())) {
        if (!argument.getType().isIntOrIndexOrFloat())
          return function.emitError()
                 << "argument " << i << " has type " << argument.getType()
                 << ", which has no C counterpart";
        continue;
      }
      auto type = getStaticTensor(function, argument.getType());
      if (failed(type))
        return failure();
      inputs[i] = pointerType;
      argument.setType(pointerType);
      buffers[i] = makeBuffer(b, loc, converter, *type, argument);
      bool writable = llvm::is_contained(updated, std::optional<unsigned>(i));
      Value tensor = makeTensor(b, loc, *type, buffers[i], writable);
      tensors[i] = tensor;
      argument.replaceUsesWithIf(tensor, [](OpOperand &use) {
        return !isa<LLVM::InsertValueOp>(use.getOwner());
      });
    }

    // Results.
    SmallVector<Value> destinations;
    for (unsigned i = 0, e = function.getNumResults(); i < e; ++i) {
      Value value = terminator->getOperand(i);
      auto type = getStaticTensor(function, value.getType());
      if (failed(type))
        return failure();
      Value buffer;
      if (updated[i]) {
        buffer = buffers[*updated[i]];
        // A write that bufferization sees: others may still read the argument.
        b.setInsertionPoint(terminator);
        if (moved[i])
          value = linalg::CopyOp::create(b, loc, value, tensors[*updated[i]])
                      .getResult(0);
      } else {
        inputs.push_back(pointerType);
        b.setInsertionPointToStart(&body);
        buffer = makeBuffer(b, loc, converter, *type,
                            body.addArgument(pointerType, loc));
      }
      b.setInsertionPoint(terminator);
      bufferization::MaterializeInDestinationOp::create(
          b, loc, Type(), value, buffer, /*restrict=*/true, /*writable=*/true);
    }
    terminator->setOperands({});
    function->removeAttr(kUpdatesAttrName);

    // The table comes first.
    inputs.insert(inputs.begin(), pointerType);
    Value table = body.insertArgument(0u, pointerType, loc);
    WalkResult loads = function.walk([&](ml_program::GlobalLoadOp load) {
      auto slot = slots.find(load.getGlobal().getLeafReference());
      if (slot == slots.end())
        return WalkResult::advance();
      auto type = getStaticTensor(function, load.getType());
      if (failed(type))
        return WalkResult::interrupt();
      b.setInsertionPoint(load);
      Value entry =
          LLVM::GEPOp::create(b, load.getLoc(), pointerType, pointerType, table,
                              LLVM::GEPArg(static_cast<int32_t>(slot->second)));
      Value address =
          LLVM::LoadOp::create(b, load.getLoc(), pointerType, entry);
      Value buffer = makeBuffer(b, load.getLoc(), converter, *type, address);
      load.replaceAllUsesWith(
          makeTensor(b, load.getLoc(), *type, buffer, /*writable=*/false));
      load.erase();
      return WalkResult::advance();
    });
    if (loads.wasInterrupted())
      return failure();

    function.setSymName(getEntryPointName(function.getSymName()));
    function.setFunctionType(FunctionType::get(context, inputs, {}));
    function.setAllArgAttrs(SmallVector<DictionaryAttr>(
        inputs.size(), DictionaryAttr::get(context)));
    return success();
  }
};
} // namespace
