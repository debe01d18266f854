//===- StatisticsArguments.cpp - --stats, --calibrate ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StatisticsArguments.h"
#include "CalibrationRun.h"
#include "cq/Support/CacheFile.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;
using tool::StatisticsArguments;

StatisticsArguments::StatisticsArguments(cl::SubCommand &command,
                                         cl::OptionCategory &category)
    : stats("stats", cl::value_desc("file"),
            cl::desc("Statistics of `cq calibrate`: better codes, cherries and "
                     "decisions at the same size"),
            cl::sub(command), cl::cat(category)),
      calibrate("calibrate",
                cl::desc("Measure the model first, as `cq calibrate --gram` "
                         "does; kept in the cache folder for the next time"),
                cl::sub(command), cl::cat(category)),
      text(command, category, "With --calibrate (implied): text to measure on",
           "the model", 16, "", /*seeded=*/false) {}

llvm::Error StatisticsArguments::check() const {
  if (!stats.empty() && measures())
    return fail("--stats and " +
                llvm::Twine(calibrate ? "--calibrate" : "--text") +
                " exclude each other: the model is measured already");
  return text.check();
}

llvm::Expected<std::string>
StatisticsArguments::find(llvm::StringRef model,
                          llvm::StringRef archive) const {
  if (!measures())
    return stats;
  llvm::SmallString<128> path(cacheFolder());
  llvm::sys::path::append(path, "stats");
  if (std::error_code code = llvm::sys::fs::create_directories(path))
    return fail("cannot make the folder " + path + ": " + code.message());
  std::string key = hashKey({"gram fisher=sequence", fileIdentity(model),
                             fileIdentity(archive), text.identity()});
  llvm::sys::path::append(path, key + ".stats");
  if (llvm::sys::fs::exists(path)) {
    llvm::errs() << "the model was measured before: " << path << '\n';
    return path.str().str();
  }
  CalibrationRun run;
  run.model = model.str();
  run.output = path.str().str();
  run.gram = true;
  if (llvm::Error error = tool::calibrate(run, text))
    return std::move(error);
  return run.output;
}
