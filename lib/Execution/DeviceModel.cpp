//===- DeviceModel.cpp - A model on a device ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceModel.h"
#include "BuildDeviceProgram.h"
#include "CodeGenerator.h"
#include "DeviceCache.h"
#include "cq/Codec/Quantizer.h"
#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Execution/DeviceExport.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Pipelines/LowerToGPU.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Transforms/CallInterface.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace mlir::cq;

struct DeviceModel::Module {
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
};

/// What a step of greedy decoding needs beside the model: which token is next,
/// and that the text is one token longer.
static constexpr const char *stepFunctions = R"mlir(
func.func @next_token(%logits: tensor<1x{0}xf32>) -> tensor<1xi32> {{
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 2147483647 : i32
  %largest0 = tensor.empty() : tensor<1xf32>
  %largest1 = linalg.fill ins(%lowest : f32) outs(%largest0 : tensor<1xf32>) -> tensor<1xf32>
  %largest = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%logits : tensor<1x{0}xf32>) outs(%largest1 : tensor<1xf32>) {{
  ^bb0(%x: f32, %so_far: f32):
    %larger = arith.maxnumf %so_far, %x : f32
    linalg.yield %larger : f32
  } -> tensor<1xf32>
  %token0 = tensor.empty() : tensor<1xi32>
  %token1 = linalg.fill ins(%none : i32) outs(%token0 : tensor<1xi32>) -> tensor<1xi32>
  %token = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%logits, %largest : tensor<1x{0}xf32>, tensor<1xf32>) outs(%token1 : tensor<1xi32>) {{
  ^bb0(%x: f32, %most: f32, %so_far: i32):
    %j = linalg.index 1 : index
    %number = arith.index_cast %j : index to i32
    %is = arith.cmpf oeq, %x, %most : f32
    %candidate = arith.select %is, %number, %none : i32
    %first = arith.minsi %so_far, %candidate : i32
    linalg.yield %first : i32
  } -> tensor<1xi32>
  return %token : tensor<1xi32>
}
func.func @advance_position(%position: tensor<1xi64>) -> tensor<1xi64> {{
  %one = arith.constant 1 : i64
  %next = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%position : tensor<1xi64>) {{
  ^bb0(%at: i64):
    %sum = arith.addi %at, %one : i64
    linalg.yield %sum : i64
  } -> tensor<1xi64>
  return %next : tensor<1xi64>
}
)mlir";

static llvm::Error addStepFunctions(ModuleOp module, int64_t vocabulary) {
  auto parsed = parseSourceString<ModuleOp>(
      llvm::formatv(stepFunctions, vocabulary).str(), module.getContext());
  if (!parsed)
    return llvm::createStringError("the functions of a step do not parse");
  for (Operation &op : llvm::make_early_inc_range(*(*parsed).getBody()))
    op.moveBefore(module.getBody(), module.getBody()->end());
  return llvm::Error::success();
}

/// What the weight's planes are in the layout that the device wants.
static llvm::Expected<PackedWeight> packAgain(const DeviceWeight &weight,
                                              const ModuleInterface &interface,
                                              void *const *table,
                                              MLIRContext *context) {
  auto scheme =
      dyn_cast_or_null<SchemeAttr>(parseAttribute(weight.scheme, context));
  auto from =
      dyn_cast_or_null<LayoutAttr>(parseAttribute(weight.from, context));
  auto to = dyn_cast_or_null<LayoutAttr>(parseAttribute(weight.to, context));
  if (!scheme || !from || !to)
    return llvm::createStringError("a weight's scheme or layout does not "
                                   "parse");
  PackedWeight stored;
  stored.n = weight.n;
  stored.k = weight.k;
  stored.scheme = scheme.getScheme();
  stored.layout = from.getLayout();
  // Rows stay in their order and cherries where they are.
  stored.layout.permuted = false;
  auto read = [&](int64_t slot, std::vector<uint8_t> &plane) {
    if (slot < 0)
      return;
    auto *bytes = static_cast<const uint8_t *>(table[slot]);
    plane.assign(bytes, bytes + interface.parameters[slot].type.numBytes());
  };
  read(weight.codes, stored.codes);
  read(weight.scales, stored.scales);
  read(weight.zeros, stored.zeros);
  auto unpacked = unpackWeight(stored, nullptr);
  if (!unpacked)
    return unpacked.takeError();
  Layout layout = to.getLayout();
  layout.permuted = false;
  return packWeight(*unpacked, nullptr, layout);
}

static std::unique_ptr<MLIRContext> createContext() {
  DialectRegistry registry;
  registerLowerToLLVMDialects(registry);
  registerDeviceDialects(registry);
  auto context = std::make_unique<MLIRContext>(registry);
  context->getOrLoadDialect<CQDialect>(); // attributes of weights are parsed
  return context;
}

llvm::Expected<DeviceModel>
DeviceModel::load(llvm::StringRef path, const LanguageModelOptions &options) {
  if (options.target != "cuda")
    return llvm::createStringError("there is no target '" + options.target +
                                   "'; the targets are cuda and, without "
                                   "--target, this CPU");
  bool hopper = options.device == "interpreter-sm_90a";
  bool interpreted = hopper || options.device == "interpreter";
  if (!interpreted && !options.device.empty())
    return llvm::createStringError(
        "there is no device '" + options.device +
        "'; without --device it is the first GPU, interpreter and "
        "interpreter-sm_90a run kernels on the CPU");
  if (options.activation == "int8")
    return llvm::createStringError(
        "--target=cuda has no int8 activations; leave out --activation");
  DeviceModel model;
  model.module = std::make_shared<Module>();
  ModuleInterface interface;
  LanguageFunctions functions;
  DeviceProgram program;

  auto text = llvm::MemoryBuffer::getFile(path);
  if (!text)
    return llvm::createStringError("cannot read " + path);

  auto lower = [&](unsigned architecture) -> llvm::Error {
    model.module->context = createContext();
    MLIRContext *context = model.module->context.get();
    model.module->module =
        parseSourceFile<ModuleOp>(path, ParserConfig(context));
    if (!model.module->module)
      return llvm::createStringError("'" + path +
                                     "' is not a valid MLIR module");
    ModuleOp module = *model.module->module;
    ExecutionOptions execution;
    execution.functions = {"forward_*", "logits_*"};
    if (llvm::Error error = prepareModule(module, execution))
      return error;
    auto described = ModuleInterface::of(module);
    if (!described)
      return described.takeError();
    auto found = findChunkFunctions(*described, path);
    if (!found)
      return found.takeError();
    SessionShape shape = found->shape;
    if (llvm::Error error = addStepFunctions(module, shape.vocabulary))
      return error;
    // With the functions of a step.
    described = ModuleInterface::of(module);
    if (!described)
      return described.takeError();
    interface = std::move(*described);
    found = findChunkFunctions(interface, path);
    if (!found)
      return found.takeError();
    functions = std::move(*found);

    recordUpdatedArguments(module);
    PassManager pm(context);
    LowerToGPUOptions lowering;
    lowering.architecture = architecture;
    lowering.wgmma = architecture == 90; // emitted for sm_90a
    buildLowerToGPUPipeline(pm, lowering);
    std::string refusal;
    ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
      if (refusal.empty() &&
          diagnostic.getSeverity() == DiagnosticSeverity::Error)
        refusal = diagnostic.str();
      return success();
    });
    if (failed(pm.run(module)))
      return llvm::createStringError(
          "'" + path + "' cannot be lowered for a GPU: " + refusal);
    auto built = buildDeviceProgram(module, interface);
    if (!built)
      return built.takeError();
    program = std::move(*built);
    return llvm::Error::success();
  };

  std::unique_ptr<DeviceBackend> backend;
  if (interpreted) {
    if (llvm::Error error = lower(hopper ? 90 : 80))
      return std::move(error);
    backend = createInterpreterBackend(*model.module->module);
  } else {
    auto opened = createCudaBackend(
        [&](unsigned architecture) -> llvm::Expected<std::string> {
          std::string chip = "sm_" + std::to_string(architecture) +
                             (architecture == 90 ? "a" : "");
          std::string key = deviceCacheKey((*text)->getBuffer(), chip);
          if (options.useCache)
            if (auto cached = loadDeviceModel(key)) {
              interface = std::move(cached->interface);
              program = std::move(cached->program);
              model.module->context = createContext();
              model.fromCache = true;
              auto found = findChunkFunctions(interface, path);
              if (!found)
                return found.takeError();
              functions = std::move(*found);
              return std::move(cached->ptx);
            }
          if (llvm::Error error = lower(architecture))
            return std::move(error);
          auto ptx = emitPTX(*model.module->module, chip);
          if (ptx && options.useCache)
            storeDeviceModel(key, {interface, program, *ptx});
          return ptx;
        });
    if (!opened)
      return opened.takeError();
    backend = std::move(*opened);
  }
  auto files = ModelFiles::open(interface, path, options.threads);
  if (!files)
    return files.takeError();
  model.files.emplace(std::move(*files));

  std::vector<int64_t> chunks;
  for (const ChunkFunctions &chunk : functions.chunks)
    chunks.push_back(chunk.tokens);
  void *const *table = model.files->table.data();
  std::map<std::string, PackedWeight> packed;
  auto plane =
      [&](const DeviceWeight &weight,
          llvm::StringRef name) -> llvm::Expected<llvm::ArrayRef<uint8_t>> {
    std::string key = std::to_string(weight.codes) + weight.to;
    if (!packed.count(key)) {
      packed.clear(); // planes of one weight follow one another
      auto again =
          packAgain(weight, interface, table, model.module->context.get());
      if (!again)
        return again.takeError();
      packed[key] = std::move(*again);
    }
    const PackedWeight &one = packed[key];
    return llvm::ArrayRef<uint8_t>(name == "codes"    ? one.codes
                                   : name == "scales" ? one.scales
                                                      : one.zeros);
  };
  auto session =
      DeviceSession::create(std::move(backend), std::move(program), interface,
                            functions.shape, chunks, table, plane);
  if (!session)
    return session.takeError();
  model.session = std::move(*session);
  return std::move(model);
}

llvm::Expected<DeviceExport>
mlir::cq::exportDeviceModel(llvm::StringRef path, llvm::StringRef folder,
                            const DeviceExportOptions &options) {
  auto file = findModule(path);
  if (!file)
    return file.takeError();
  LanguageModelOptions loading;
  loading.target = "cuda";
  loading.device = "interpreter";
  auto model = DeviceModel::load(*file, loading);
  if (!model)
    return model.takeError();
  DeviceSession &session = *model->session;
  std::string text, data;
  llvm::raw_string_ostream textStream(text), dataStream(data);
  if (llvm::Error error = session.writeStep(textStream, dataStream))
    return std::move(error);
  DeviceExport result;
  int32_t token = options.firstToken;
  textStream << "steps " << token;
  for (unsigned i = 0; i < options.steps; ++i) {
    auto next = session.step(token);
    if (!next)
      return next.takeError();
    token = *next;
    result.tokens.push_back(token);
    textStream << ' ' << token;
  }
  std::vector<float> logits(session.shape().vocabulary);
  if (llvm::Error error = session.readLogits(logits.data()))
    return std::move(error);
  textStream << "\nlast " << data.size() << '\n';
  dataStream.write(reinterpret_cast<const char *>(logits.data()),
                   4 * logits.size());
  for (auto [name, content] :
       {std::pair{"model.txt", &text}, std::pair{"model.bin", &data}})
    if (llvm::Error error =
            writeFileAtomically((folder + "/" + name).str(), *content))
      return std::move(error);
  ModuleOp module = *model->module->module;
  auto kernels = module.getOps<gpu::GPUModuleOp>();
  llvm::raw_string_ostream(result.kernels) << **kernels.begin() << '\n';
  for (const std::string &chip : options.chips) {
    OwningOpRef<ModuleOp> copy = module.clone();
    auto ptx = emitPTX(*copy, chip);
    if (!ptx)
      return ptx.takeError();
    result.ptx.push_back(std::move(*ptx));
  }
  return result;
}
