//===- ImportGlobals.cpp - Other stacks' globals to ml_program ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"

namespace mlir::cq {
#define GEN_PASS_DEF_IMPORTGLOBALS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// An attribute of an op of a dialect that is not loaded, as the generic form
/// gives it: between `<{` and `}>`, or after.
static Attribute attributeOf(Operation *op, StringRef name) {
  if (auto properties =
          dyn_cast_if_present<DictionaryAttr>(op->getPropertiesAsAttribute()))
    if (Attribute value = properties.get(name))
      return value;
  return op->getDiscardableAttr(name);
}

template <typename T> static T attributeAs(Operation *op, StringRef name) {
  return dyn_cast_if_present<T>(attributeOf(op, name));
}

/// #flow.parameter.named<"scope"::"key"> or #stream…; the scope may be missing.
static FailureOr<std::pair<std::string, std::string>>
parseParameter(Attribute attribute) {
  auto opaque = dyn_cast_if_present<OpaqueAttr>(attribute);
  if (!opaque || (opaque.getDialectNamespace() != "flow" &&
                  opaque.getDialectNamespace() != "stream"))
    return failure();
  StringRef text = opaque.getAttrData();
  if (!text.consume_front("parameter.named<") || !text.consume_back(">"))
    return failure();
  auto parseString = [&](std::string &into) {
    text = text.ltrim();
    if (!text.consume_front("\""))
      return false;
    size_t end = text.find('"');
    if (end == StringRef::npos || text.take_front(end).contains('\\'))
      return false;
    into = text.take_front(end).str();
    text = text.drop_front(end + 1).ltrim();
    return true;
  };
  std::string scope, key;
  if (!parseString(key))
    return failure();
  if (text.consume_front("::")) {
    scope = std::move(key);
    if (!parseString(key))
      return failure();
  }
  if (!text.empty() || key.empty())
    return failure();
  return std::make_pair(scope, key);
}

namespace {
struct ImportGlobalsPass
    : mlir::cq::impl::ImportGlobalsBase<ImportGlobalsPass> {
  using ImportGlobalsBase::ImportGlobalsBase;

  void runOnOperation() override {
    importFunctions();
    SymbolTable symbols(getOperation());
    importConstants(symbols);
    importGlobals();
    importLoads();
    if (failed(nameParameters()))
      return signalPassFailure();
    if (!parameters.empty())
      getOperation()->setAttr("cq.parameters",
                              StringAttr::get(&getContext(), parameters));
  }

private:
  static bool is(Operation *op, StringRef name) {
    return op->getName().getStringRef() == name;
  }

  /// util.func, util.return and util.call mean what func's do.
  void importFunctions() {
    SmallVector<Operation *> functions, others;
    getOperation()->walk([&](Operation *op) {
      if (is(op, "util.func"))
        functions.push_back(op);
      else if (is(op, "util.return") || is(op, "util.call"))
        others.push_back(op);
    });
    for (Operation *op : others) {
      OpBuilder b(op);
      if (is(op, "util.return")) {
        func::ReturnOp::create(b, op->getLoc(), op->getOperands());
      } else if (auto callee = attributeAs<FlatSymbolRefAttr>(op, "callee")) {
        auto call = func::CallOp::create(
            b, op->getLoc(), callee, op->getResultTypes(), op->getOperands());
        op->replaceAllUsesWith(call);
      } else {
        continue;
      }
      op->erase();
    }
    for (Operation *op : functions) {
      auto name = attributeAs<StringAttr>(op, "sym_name");
      auto type = attributeAs<TypeAttr>(op, "function_type");
      if (!name || !type || !isa<FunctionType>(type.getValue()) ||
          op->getNumRegions() != 1)
        continue;
      OpBuilder b(op);
      auto function = func::FuncOp::create(b, op->getLoc(), name,
                                           cast<FunctionType>(type.getValue()));
      if (auto visibility = attributeAs<StringAttr>(op, "sym_visibility"))
        function.setSymVisibilityAttr(visibility);
      function.getBody().takeBody(op->getRegion(0));
      op->erase();
      ++numOps;
    }
  }

  /// flow.tensor.constant of a parameter: a global of its own.
  void importConstants(SymbolTable &symbols) {
    SmallVector<Operation *> constants;
    getOperation()->walk([&](Operation *op) {
      if (is(op, "flow.tensor.constant"))
        constants.push_back(op);
    });
    for (Operation *op : constants) {
      auto value = attributeAs<TypedAttr>(op, "value");
      auto parameter = parseParameter(value);
      if (failed(parameter) || op->getNumResults() != 1)
        continue;
      OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
      auto global = ml_program::GlobalOp::create(
          b, op->getLoc(), parameter->second, op->getResult(0).getType(),
          /*is_mutable=*/false, value, b.getStringAttr("private"));
      symbols.insert(global);
      b.setInsertionPoint(op);
      op->replaceAllUsesWith(ml_program::GlobalLoadOp::create(
          b, op->getLoc(), op->getResult(0).getType(),
          FlatSymbolRefAttr::get(global)));
      op->erase();
      ++numOps;
    }
  }

  void importGlobals() {
    for (Operation &op :
         llvm::make_early_inc_range(*getOperation().getBody())) {
      if (!is(&op, "util.global"))
        continue;
      auto name = attributeAs<StringAttr>(&op, "sym_name");
      auto type = attributeAs<TypeAttr>(&op, "type");
      if (!name || !type)
        continue;
      OpBuilder b(&op);
      bool isMutable = static_cast<bool>(attributeOf(&op, "is_mutable"));
      Attribute value = attributeOf(&op, "initial_value");
      // Uninitialized, or of a kind of its own: nothing that we could read.
      if (!value && !isMutable)
        continue;
      ml_program::GlobalOp::create(b, op.getLoc(), name.getValue(),
                                   type.getValue(), isMutable, value,
                                   b.getStringAttr("private"));
      op.erase();
      ++numOps;
    }
  }

  void importLoads() {
    SymbolTable symbols(getOperation());
    SmallVector<Operation *> accesses;
    getOperation()->walk([&](Operation *op) {
      if (is(op, "util.global.load") || is(op, "util.global.store"))
        accesses.push_back(op);
    });
    for (Operation *op : accesses) {
      auto name = attributeAs<FlatSymbolRefAttr>(op, "global");
      if (!name || !symbols.lookup<ml_program::GlobalOp>(name.getAttr()))
        continue;
      OpBuilder b(op);
      if (is(op, "util.global.load") && op->getNumResults() == 1)
        op->replaceAllUsesWith(ml_program::GlobalLoadOp::create(
            b, op->getLoc(), op->getResult(0).getType(), name));
      else if (op->getNumOperands() == 1)
        ml_program::GlobalStoreOp::create(b, op->getLoc(), name,
                                          op->getOperand(0));
      else
        continue;
      op->erase();
    }
  }

  /// Globals of parameters get the parameter's key as their name: that is how
  /// weights by reference are found in an archive here.
  LogicalResult nameParameters() {
    SymbolTable symbols(getOperation());
    llvm::StringMap<ml_program::GlobalOp> byKey;
    for (auto global : llvm::make_early_inc_range(
             getOperation().getOps<ml_program::GlobalOp>())) {
      auto parameter = parseParameter(global.getValueAttr());
      if (failed(parameter) || global.getIsMutable())
        continue;
      const std::string &key = parameter->second;
      if (!scope.empty() && parameter->first != scope)
        continue;
      auto [it, fresh] = byKey.try_emplace(key, global);
      if (!fresh) {
        if (it->second.getType() != global.getType())
          return global.emitOpError("has the parameter '")
                 << key << "' as another global has, but another type";
        // Two globals of one parameter are one weight.
        if (failed(SymbolTable::replaceAllSymbolUses(
                global, it->second.getSymNameAttr(), getOperation())))
          return global.emitOpError("cannot be merged with that of '")
                 << key << "'";
        symbols.erase(global);
        continue;
      }
      global.setValueAttr(
          ml_program::ExternAttr::get(&getContext(), global.getType()));
      ++numParameters;
      if (global.getSymName() == key)
        continue;
      Operation *taken = symbols.lookup(key);
      if (taken)
        return global.emitOpError("is the parameter '")
               << key << "', and so is the name of something else: rename that";
      if (failed(symbols.rename(global, key)))
        return global.emitOpError("cannot be renamed to its parameter '")
               << key << "'";
    }
    return success();
  }
};
} // namespace
