//===- Tune.cpp - cq tune: trains a quantized folder ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Trains what a quantized model stores (codes, scales, cherries, norms), or all
// of it but the codes, to predict what the unquantized model
// predicts. Gradients come from the compiled @divergence of that model, with
// its weights replaced by what the packed ones mean.
//
//===----------------------------------------------------------------------===//

#include "CalibrationTextArguments.h"
#include "SavePoints.h"
#include "Verbs.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Execution/ObservedModel.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/CacheFile.h"
#include "cq/Support/Memory.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/OutputFolder.h"
#include "cq/Support/Progress.h"
#include "cq/Tuning/TunedModel.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("tune", "Trains a quantized folder towards the unquantized model: "
                    "codes, scales, cherries and norms");
static cl::OptionCategory options("tune options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<folder made by cq quantize>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    against("against", cl::value_desc("module"), cl::Required,
            cl::desc("The unquantized model, made by cq import"),
            cl::sub(command), cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("folder"), cl::Required,
                                   cl::desc("Where the tuned folder goes"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<bool> force("force", cl::desc("Replace an existing folder"),
                           cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    train("train", cl::init("all"),
          cl::desc("all (default: codes, scales, cherries, norms) or scales "
                   "(codes stay: less memory, less gain)"),
          cl::sub(command), cl::cat(options));
static cl::opt<int64_t>
    batch("batch", cl::init(1),
          cl::desc("Sequences whose gradients make one step (default 1)"),
          cl::sub(command), cl::cat(options));
static cl::opt<int64_t> epochs("epochs", cl::init(1),
                               cl::desc("Passes over the text (default 1)"),
                               cl::sub(command), cl::cat(options));
static cl::opt<int64_t>
    heldOut("held-out", cl::init(4),
            cl::desc("Sequences measured before and after, never trained on "
                     "(default 4)"),
            cl::sub(command), cl::cat(options));
static cl::opt<double>
    scaleRate("scale-rate", cl::init(1e-3),
              cl::desc("Learning rate of scales, in parts of themselves"),
              cl::sub(command), cl::cat(options));
static cl::opt<double>
    cherryRate("cherry-rate", cl::init(1e-2),
               cl::desc("Of cherries, in steps of their group's grid"),
               cl::sub(command), cl::cat(options));
static cl::opt<double>
    weightRate("weight-rate", cl::init(5e-3),
               cl::desc("Of weights with --train=all, in steps of the grid"),
               cl::sub(command), cl::cat(options));
static cl::opt<double>
    normRate("norm-rate", cl::init(1e-3),
             cl::desc("Of norms, in parts of their root mean square"),
             cl::sub(command), cl::cat(options));
static cl::opt<double> rateFloor("rate-floor", cl::init(0.1),
                                 cl::desc("Where the cosine schedule ends"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<bool> fresh("fresh",
                           cl::desc("Do not go on from an interrupted tuning"),
                           cl::sub(command), cl::cat(options));
static cl::opt<double> saveEvery(
    "save-every", cl::init(300), cl::value_desc("seconds"),
    cl::desc("How often the training is saved, to go on from (default 300)"),
    cl::sub(command), cl::cat(options));
static cl::opt<unsigned> threads("threads", cl::init(0),
                                 cl::desc("CPU threads (default: all)"),
                                 cl::sub(command), cl::cat(options));
static tool::CalibrationTextArguments
    textArguments(command, options, "Text to train on", "the unquantized model",
                  64, ", those held out included");

namespace {

struct Sequence {
  std::vector<int32_t> tokens;
  std::vector<float> reference; ///< [tokens, width] final hidden states
};

/// What a model is trained on, and by which options.
struct Lesson {
  std::vector<Sequence> sequences;
  std::string textName;
  /// Hash of everything that the result is a function of.
  std::string request;
};

/// Where an interrupted run stands.
struct Standing {
  int64_t steps = 0;
  double before = 0; ///< divergence of what is held out, at the start
};

/// Final hidden states of the unquantized model, kept on disk: they take as
/// long as a step of training.
llvm::Expected<std::vector<float>>
referenceStates(LanguageModel &model, llvm::ArrayRef<int32_t> ids) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(ids.data()),
                        ids.size() * sizeof(int32_t));
  std::string key = hashKey({"all hidden", model.fingerprint(), bytes});
  size_t count = ids.size() * model.width();
  if (auto cached = loadCached<float>("hidden", key, count))
    return std::move(*cached);
  std::vector<float> states(count);
  model.reset();
  if (llvm::Error error = model.forward(ids, states.data()))
    return std::move(error);
  llvm::consumeError(storeCached<float>("hidden", key, states));
  return states;
}

class Trainer {
public:
  Trainer(ObservedModel &model, TunedModel &tuned)
      : model(model), tuned(tuned), divergences(model.tokens()) {}

  /// Mean divergence of a sequence; its gradients are added where `learn`.
  llvm::Expected<double> run(const Sequence &sequence, bool learn) {
    llvm::Error failure = llvm::Error::success();
    auto handler = [&](const ObservationInfo &info,
                       llvm::ArrayRef<ObservedMatrix> matrices) {
      if (!learn || failure)
        return;
      const ObservedMatrix &m = matrices.front();
      failure = tuned.addGradient(info.weights.front(),
                                  llvm::ArrayRef(m.data, m.rows * m.columns));
    };
    llvm::Error error =
        model.run(sequence.tokens, sequence.reference, divergences, handler);
    if (error || failure)
      return llvm::joinErrors(std::move(error), std::move(failure));
    double sum = 0;
    for (float divergence : divergences)
      sum += divergence;
    return sum / static_cast<double>(divergences.size());
  }

  llvm::Expected<double> measure(llvm::ArrayRef<Sequence> sequences) {
    double sum = 0;
    for (const Sequence &sequence : sequences) {
      llvm::Expected<double> divergence = run(sequence, /*learn=*/false);
      if (!divergence)
        return divergence;
      sum += *divergence;
    }
    return sequences.empty() ? 0 : sum / static_cast<double>(sequences.size());
  }

private:
  ObservedModel &model;
  TunedModel &tuned;
  std::vector<float> divergences;
};

} // namespace

static llvm::Error copyCompanions(llvm::StringRef folder) {
  for (const char *file : {"model.mlir", "plan.json", "tokenizer.gguf"}) {
    std::string from = inFolder(input, file);
    if (!llvm::sys::fs::exists(from))
      continue;
    if (std::error_code code =
            llvm::sys::fs::copy_file(from, inFolder(folder, file)))
      return llvm::createStringError("cannot copy " + from + ": " +
                                     code.message());
  }
  return llvm::Error::success();
}

static llvm::Error checkOptions() {
  if (llvm::Error error = textArguments.check())
    return error;
  if (train != "scales" && train != "all")
    return llvm::createStringError("--train=" + train +
                                   " is not known; use scales or all");
  if (batch < 1 || epochs < 1 || heldOut < 0)
    return llvm::createStringError(
        "--batch and --epochs are 1 or more, --held-out 0 or more");
  for (double rate : {scaleRate.getValue(), cherryRate.getValue(),
                      weightRate.getValue(), normRate.getValue()})
    if (!(rate >= 0 && rate < 1))
      return llvm::createStringError("learning rates are from 0 to below 1");
  if (!llvm::sys::fs::exists(inFolder(input, "plan.json")))
    return llvm::createStringError(
        input + " has no plan.json; give a folder made by `cq quantize`");
  return llvm::Error::success();
}

/// Of options, text and both models: a run goes on only with the same.
static llvm::Expected<std::string>
hashRequest(const tool::CalibrationText &text, llvm::StringRef reference) {
  auto archive =
      llvm::MemoryBuffer::getFile(inFolder(input, "model.safetensors"));
  auto plan = llvm::MemoryBuffer::getFile(inFolder(input, "plan.json"));
  if (!archive || !plan)
    return llvm::createStringError("cannot read the files of " + input);
  std::string numbers;
  llvm::raw_string_ostream(numbers)
      << llvm::formatv("{0} {1} {2} {3} {4:e17} {5:e17} {6:e17} {7:e17} "
                       "{8:e17}",
                       train, batch, epochs, heldOut, scaleRate.getValue(),
                       cherryRate.getValue(), weightRate.getValue(),
                       normRate.getValue(), rateFloor.getValue());
  return hashKey({"tuning 1", numbers, text.hash(), reference,
                  (*plan)->getBuffer(), (*archive)->getBuffer()});
}

/// The sequences with what the unquantized model makes of them.
static llvm::Expected<Lesson> readLesson(int64_t tokens) {
  LanguageModelOptions modelOptions;
  modelOptions.threads = threads;
  auto reference = LanguageModel::load(against, modelOptions);
  if (!reference)
    return reference.takeError();
  auto text = textArguments.given()
                  ? textArguments.read((*reference)->tokenizer(),
                                       (*reference)->vocabulary(), tokens)
                  : textArguments.write(**reference, tokens);
  if (!text)
    return text.takeError();
  auto request = hashRequest(*text, (*reference)->fingerprint());
  if (!request)
    return request.takeError();
  Lesson lesson{{}, text->name, std::move(*request)};
  Progress progress(llvm::errs(), "reading what the unquantized model says",
                    static_cast<int64_t>(text->sequences.size()));
  for (std::vector<int32_t> &ids : text->sequences) {
    auto states = referenceStates(**reference, ids);
    if (!states)
      return states.takeError();
    lesson.sequences.push_back({std::move(ids), std::move(*states)});
    progress.advance("sequence");
  }
  return lesson;
}

static std::string partialPath() {
  return llvm::StringRef(output).rtrim('/').str() + ".partial";
}

/// Where the same run stopped, with `tuned` as it was then; nothing was done
/// yet where there is no such file.
static llvm::Expected<Standing> goOn(TunedModel &tuned, llvm::StringRef request,
                                     int64_t steps) {
  Standing standing;
  std::string path = partialPath();
  if (fresh || !llvm::sys::fs::exists(path))
    return standing;
  auto refuse = [&](const llvm::Twine &why) {
    return llvm::createStringError(
        why + "; finish that tuning, or start anew with --fresh");
  };
  // What it was made with first: another plan's tensors do not fit either.
  if (auto file = ParameterArchive::open(path);
      file && (*file)->metadata("request").value_or("") != request)
    return refuse(path +
                  " was made with other options, another text or other models");
  else if (!file)
    return refuse(llvm::toString(file.takeError()));
  auto notes = tuned.restoreState(path, {"steps", "before"});
  if (!notes)
    return refuse(llvm::toString(notes.takeError()));
  if (!llvm::to_integer((*notes)[0], standing.steps) || standing.steps < 1 ||
      standing.steps >= steps || !llvm::to_float((*notes)[1], standing.before))
    return refuse(path + " names no step of this run");
  llvm::errs() << "going on after step " << standing.steps << " of " << steps
               << " (" << path << ")\n";
  return standing;
}

static llvm::Error trainOn(llvm::ArrayRef<Sequence> sequences,
                           llvm::StringRef request, Trainer &trainer,
                           TunedModel &tuned, Standing standing) {
  int64_t count = static_cast<int64_t>(sequences.size());
  int64_t stepsPerEpoch = (count + batch - 1) / batch;
  int64_t steps = stepsPerEpoch * epochs;
  int64_t done = standing.steps;
  tool::SavePoints points(saveEvery, [&] {
    return tuned.saveState(
        partialPath(),
        {{"request", request.str()},
         {"steps", std::to_string(done)},
         {"before", llvm::formatv("{0:e17}", standing.before).str()}});
  });
  Progress progress(llvm::errs(), "tuning", steps - done);
  for (int64_t step = done + 1; step <= steps; ++step) {
    int64_t begin = (step - 1) % stepsPerEpoch * batch;
    int64_t end = std::min(count, begin + batch);
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      llvm::Expected<double> divergence =
          trainer.run(sequences[i], /*learn=*/true);
      if (!divergence)
        return divergence.takeError();
      sum += *divergence;
    }
    tuned.step(step, learningRateFactor(step, steps, rateFloor));
    progress.advance(
        "step",
        llvm::formatv("KL divergence {0:f4}", sum / double(end - begin)).str());
    done = step;
    if (step == steps)
      break;
    auto stop = points.shouldStop();
    if (!stop)
      return stop.takeError();
    if (*stop)
      return llvm::createStringError("interrupted after " + llvm::Twine(done) +
                                     " of " + llvm::Twine(steps) +
                                     " steps; the same command goes on from " +
                                     partialPath());
  }
  return llvm::Error::success();
}

static llvm::Error tuneInto(llvm::StringRef folder) {
  ObservedModelOptions observe;
  observe.function = "divergence";
  observe.moments = observe.blocks = false;
  observe.fisher = "sequence";
  observe.wrt = "all";
  observe.threads = threads;
  auto model = ObservedModel::load(against, observe);
  if (!model)
    return model.takeError();

  TuningOptions tuning;
  tuning.rates.scales = static_cast<float>(scaleRate);
  tuning.rates.cherries = static_cast<float>(cherryRate);
  tuning.rates.weights = train == "all" ? static_cast<float>(weightRate) : 0;
  tuning.norms = static_cast<float>(normRate);
  tuning.threads = threads;
  // Not embedding and head, [vocabulary, width]: the reference's predictions
  // are made with the same head and would follow it.
  llvm::StringSet<> trained;
  for (const ObservationInfo &info : (*model)->observations())
    trained.insert(info.weights.front());
  for (const ParameterSlot &slot : (*model)->parameters())
    if (slot.type.shape.size() == 2 &&
        slot.type.shape[0] == (*model)->vocabulary())
      trained.erase(slot.name);
  auto tuned = TunedModel::open(
      input, &(*model)->archive(),
      [&](llvm::StringRef name) { return trained.contains(name); }, tuning);
  if (!tuned)
    return tuned.takeError();
  auto lesson = readLesson((*model)->tokens());
  if (!lesson)
    return lesson.takeError();
  llvm::ArrayRef<Sequence> sequences = lesson->sequences;
  int64_t count = static_cast<int64_t>(sequences.size()) - heldOut;
  if (count <= 0)
    return llvm::createStringError(
        "the text has " + llvm::Twine(sequences.size()) + " sequences of " +
        llvm::Twine((*model)->tokens()) + " tokens and --held-out=" +
        llvm::Twine(heldOut) + " leaves none to train on; give a longer text");
  int64_t steps = (count + batch - 1) / batch * epochs;
  auto standing = goOn(**tuned, lesson->request, steps);
  if (!standing)
    return standing.takeError();
  for (const TunedModel::Parameter &parameter : (*tuned)->parameters())
    if (llvm::Error error =
            (*model)->setParameter(parameter.name, parameter.values.data()))
      return error;

  llvm::ArrayRef<Sequence> kept = sequences.take_back(heldOut);
  Trainer trainer(**model, **tuned);
  if (standing->steps == 0) {
    llvm::Expected<double> before = trainer.measure(kept);
    if (!before)
      return before.takeError();
    standing->before = *before;
  }
  if (llvm::Error error = trainOn(sequences.drop_back(heldOut), lesson->request,
                                  trainer, **tuned, *standing))
    return error;
  double before = standing->before;
  llvm::Expected<double> after = trainer.measure(kept);
  if (!after)
    return after.takeError();

  llvm::outs() << llvm::formatv(
      "text           {0}, {1} sequences of {2} tokens, {3} passes\n",
      lesson->textName, count, (*model)->tokens(), epochs);
  if (heldOut)
    llvm::outs() << llvm::formatv(
        "KL divergence  {0:f4} -> {1:f4} on {2} other sequences, f32 "
        "activations\n",
        before, *after, heldOut);
  if (train == "all")
    llvm::outs() << llvm::formatv("codes          {0} of {1} changed\n",
                                  formatCount((*tuned)->changedCodes()),
                                  formatCount((*tuned)->trainedCodes()));
  if (*after > before)
    llvm::errs() << "warning: tuning did not help; try lower rates (--scale-"
                    "rate, --weight-rate) or more text\n";
  if (llvm::Error error = copyCompanions(folder))
    return error;
  llvm::json::Object record{{"text", lesson->textName},
                            {"sequences", count},
                            {"epochs", epochs.getValue()},
                            {"batch", batch.getValue()},
                            {"train", train.getValue()},
                            {"scale_rate", scaleRate.getValue()},
                            {"cherry_rate", cherryRate.getValue()},
                            {"weight_rate", weightRate.getValue()},
                            {"norm_rate", normRate.getValue()},
                            {"held_out", heldOut.getValue()},
                            {"kl_divergence_before", before},
                            {"kl_divergence_after", *after},
                            {"changed_codes", (*tuned)->changedCodes()}};
  if (llvm::Error error = writeFileAtomically(
          inFolder(folder, "tuning.json"),
          llvm::formatv("{0:2}\n", llvm::json::Value(std::move(record))).str()))
    return error;
  return (*tuned)->write(inFolder(folder, "model.safetensors"));
}

static llvm::Error run() {
  if (llvm::Error error = checkOptions())
    return error;
  keepMemory();
  auto folder = OutputFolder::create(output, force);
  if (!folder)
    return folder.takeError();
  if (llvm::Error error = tuneInto(folder->path()))
    return error;
  if (llvm::Error error = folder->commit())
    return error;
  (void)llvm::sys::fs::remove(partialPath());
  return llvm::Error::success();
}

tool::Verb tool::tuneVerb() { return {&command, &options, &run}; }
