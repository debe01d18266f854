//===- Stats.cpp - cq stats: what calibration measured ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "StatsShow.h"
#include "Verbs.h"
#include "cq/Model/ModelSource.h"
#include "cq/Stats/ImportanceMatrix.h"
#include "cq/Stats/Statistics.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;
using llvm::Error;

static cl::SubCommand command("stats", R"(Works on statistics files

  cq stats show F [--weight=REGEX] [--model=M] [--json]
                                    what was measured of each weight and block
  cq stats merge A B... -o C        sums of several calibrations as one file
  cq stats import imatrix.gguf --model=M -o F
                                    an importance matrix of llama.cpp
  cq stats export --fisher-store=0.01 F -o G
                                    small Fisher matrices, for quantizing only)");
static cl::OptionCategory options("stats options");
static cl::opt<std::string> action(cl::Positional, cl::Required,
                                   cl::desc("<show|merge|import|export>"),
                                   cl::sub(command), cl::cat(options));
static cl::list<std::string> inputs(cl::Positional, cl::OneOrMore,
                                    cl::desc("<file>..."), cl::sub(command),
                                    cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("file"),
                                   cl::desc("merge, import, export: the file "
                                            "to write"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    model("model", cl::value_desc("file"),
          cl::desc("import: the model that was measured. show: adds ZD of each "
                   "block (a module, folder or checkpoint)"),
          cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    weight("weight", cl::value_desc("regex"),
           cl::desc("show: only weights whose names match, with the condition "
                    "of their Gram matrices"),
           cl::sub(command), cl::cat(options));
static cl::opt<bool> json("json", cl::desc("show: as JSON"), cl::sub(command),
                          cl::cat(options));
static cl::opt<double>
    fisherStore("fisher-store", cl::value_desc("share"), cl::init(0.01),
                cl::desc("export: share of each Fisher matrix kept exactly "
                         "(default 0.01); of the rest only row and column "
                         "means. Such a file cannot be merged"),
                cl::sub(command), cl::cat(options));
static cl::opt<int64_t>
    chunk("chunk", cl::value_desc("tokens"), cl::init(512),
          cl::desc("import: tokens a chunk of a legacy .dat file, which does "
                   "not say (default 512)"),
          cl::sub(command), cl::cat(options));

static Error importMatrix() {
  if (model.empty())
    return fail("an importance matrix does not say which weights it measured; "
                "give the model with --model");
  auto file = tool::ModelFile::open(model);
  if (!file)
    return file.takeError();
  llvm::StringMap<std::string> names;
  if (auto source = ModelSource::open(file->archivePath))
    names = weightNamesOf(*source);
  else
    llvm::consumeError(source.takeError()); // then names must be the same
  auto statistics =
      importImportanceMatrix(inputs.front(), *file->archive, chunk, names);
  if (!statistics)
    return statistics.takeError();
  return statistics->write(output);
}

static Error run() {
  bool one = inputs.size() == 1;
  if (action == "show") {
    if (!one)
      return fail("`cq stats show` takes one file");
    return tool::showStatistics({inputs.front(), weight, model, json});
  }
  if (action != "merge" && action != "import" && action != "export")
    return fail("`cq stats` cannot " + quoted(action) +
                "; it can show, merge, import and export");
  if (output.empty())
    return fail("give the file to write with -o");
  if (!one && action != "merge")
    return fail("`cq stats " + action + "` takes one file");
  if (action == "import")
    return importMatrix();
  if (action == "export")
    return exportCompact(inputs.front(), output, fisherStore);
  return mergeStatisticsFiles(
      std::vector<std::string>(inputs.begin(), inputs.end()), output);
}

tool::Verb tool::statsVerb() { return {&command, &options, &run}; }
