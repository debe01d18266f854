//===- KernelParts.cpp - A module of code in parts ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelParts.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include "llvm/Transforms/Utils/ValueMapper.h"

using namespace mlir::cq;

bool mlir::cq::isGlue(const llvm::Function &function) {
  if (function.size() != 1)
    return false;
  bool calls = false;
  for (const llvm::Instruction &instruction : function.front()) {
    if (instruction.getType()->isVectorTy())
      return false;
    if (auto *call = llvm::dyn_cast<llvm::CallInst>(&instruction))
      calls |= !llvm::isa<llvm::IntrinsicInst>(call);
  }
  return calls;
}

namespace {
/// Declares in a part what its kernel refers to.
class Declarer : public llvm::ValueMaterializer {
public:
  Declarer(llvm::Module &part, llvm::ValueToValueMapTy &map)
      : part(part), map(map) {}

  llvm::Value *materialize(llvm::Value *value) override {
    if (auto *function = llvm::dyn_cast<llvm::Function>(value)) {
      share(*function);
      auto *declared = llvm::Function::Create(
          function->getFunctionType(), llvm::GlobalValue::ExternalLinkage,
          function->getName(), part);
      declared->copyAttributesFrom(function);
      return declared;
    }
    auto *global = llvm::dyn_cast<llvm::GlobalVariable>(value);
    if (!global)
      return nullptr;
    // Tables of numbers are small: each part has its own.
    bool own = global->isConstant() && global->hasLocalLinkage();
    if (!own)
      share(*global);
    auto *declared = new llvm::GlobalVariable(
        part, global->getValueType(), global->isConstant(),
        own ? llvm::GlobalValue::PrivateLinkage
            : llvm::GlobalValue::ExternalLinkage,
        own ? llvm::MapValue(global->getInitializer(), map, llvm::RF_None,
                             nullptr, this)
            : nullptr,
        global->getName());
    declared->copyAttributesFrom(global);
    return declared;
  }

  /// What two parts use has a name for the linker, and for nobody else.
  static void share(llvm::GlobalValue &value) {
    if (!value.hasLocalLinkage())
      return;
    value.setLinkage(llvm::GlobalValue::ExternalLinkage);
    value.setVisibility(llvm::GlobalValue::HiddenVisibility);
  }

private:
  llvm::Module &part;
  llvm::ValueToValueMapTy &map;
};
} // namespace

static std::unique_ptr<llvm::Module> moveOut(llvm::Function &kernel) {
  auto part =
      std::make_unique<llvm::Module>(kernel.getName(), kernel.getContext());
  part->setTargetTriple(kernel.getParent()->getTargetTriple());
  part->setDataLayout(kernel.getParent()->getDataLayout());
  // Bitcode without it is taken for one of another age, with a warning.
  part->addModuleFlag(llvm::Module::Warning, "Debug Info Version",
                      llvm::DEBUG_METADATA_VERSION);
  Declarer::share(kernel);
  auto *moved = llvm::Function::Create(kernel.getFunctionType(),
                                       llvm::GlobalValue::ExternalLinkage,
                                       kernel.getName(), *part);
  llvm::ValueToValueMapTy map;
  map[&kernel] = moved;
  for (auto [from, to] : llvm::zip(kernel.args(), moved->args()))
    map[&from] = &to;
  Declarer declarer(*part, map);
  llvm::SmallVector<llvm::ReturnInst *> returns;
  llvm::CloneFunctionInto(moved, &kernel, map,
                          llvm::CloneFunctionChangeType::DifferentModule,
                          returns, "", nullptr, nullptr, &declarer);
  moved->setVisibility(llvm::GlobalValue::HiddenVisibility);
  kernel.deleteBody();
  kernel.setVisibility(llvm::GlobalValue::HiddenVisibility);
  return part;
}

llvm::SmallVector<std::unique_ptr<llvm::Module>>
mlir::cq::moveKernelsOut(llvm::Module &module) {
  // Below it a part costs more than it saves.
  constexpr unsigned smallestPart = 300;
  llvm::SmallVector<llvm::Function *> kernels;
  for (llvm::Function &function : module)
    if (!function.isDeclaration() && function.hasLocalLinkage() &&
        !isGlue(function) && function.getInstructionCount() >= smallestPart)
      kernels.push_back(&function);
  llvm::SmallVector<std::unique_ptr<llvm::Module>> parts;
  for (llvm::Function *kernel : kernels)
    parts.push_back(moveOut(*kernel));
  return parts;
}
