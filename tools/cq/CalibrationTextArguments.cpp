//===- CalibrationTextArguments.cpp - --text, --sequences, --seed ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationTextArguments.h"
#include "cq/Support/CacheFile.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
namespace cl = llvm::cl;
using tool::CalibrationText;
using tool::CalibrationTextArguments;

CalibrationTextArguments::CalibrationTextArguments(
    cl::SubCommand &command, cl::OptionCategory &category,
    llvm::StringRef purpose, llvm::StringRef author, int64_t sequences,
    llvm::StringRef note, bool seeded)
    : textHelp((purpose +
                ": plain, .jsonl (with `text`), or token ids (.json, .ids); "
                "several are joined (default: text that " +
                author + " writes itself)")
                   .str()),
      sequencesHelp(("Sequences, spread over the text" + note + " (default " +
                     llvm::Twine(sequences) + ")")
                        .str()),
      paths("text", cl::value_desc("file"), cl::desc(textHelp),
            cl::sub(command), cl::cat(category)),
      sequences("sequences", cl::init(sequences), cl::value_desc("N"),
                cl::desc(sequencesHelp), cl::sub(command), cl::cat(category)) {
  if (seeded)
    seed.emplace("seed", cl::init(0), cl::value_desc("S"),
                 cl::desc("Other sequences of the same text, or another text "
                          "of the model's own (default 0)"),
                 cl::sub(command), cl::cat(category));
}

std::string CalibrationTextArguments::identity() const {
  std::string text = std::to_string(sequences);
  if (seed)
    text += " seed " + std::to_string(seed->getValue());
  for (const std::string &path : paths)
    text += '\n' + fileIdentity(path);
  return text;
}

llvm::Error CalibrationTextArguments::check() const {
  if (sequences < 1 || sequences > 1000000)
    return fail("--sequences=" + llvm::Twine(sequences) +
                " is not between 1 and 1000000");
  return llvm::Error::success();
}

llvm::Expected<CalibrationText>
CalibrationTextArguments::read(const Tokenizer *tokenizer, int64_t vocabulary,
                               int64_t length) const {
  return readCalibrationText(paths, tokenizer, vocabulary, options(length));
}

llvm::Expected<CalibrationText>
CalibrationTextArguments::write(LanguageModel &model, int64_t length) const {
  return writeCalibrationText(model, options(length));
}
