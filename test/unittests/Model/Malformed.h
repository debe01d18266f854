//===- Malformed.h - Tables of files that must be refused -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_UNITTESTS_MODEL_MALFORMED_H
#define CQ_TEST_UNITTESTS_MODEL_MALFORMED_H

#include "TinyModels.h"

namespace mlir::cq::test {

struct MalformedFile {
  const char *what;
  std::string bytes;
  const char *message; ///< part of the sentence
};

inline void PrintTo(const MalformedFile &file, std::ostream *os) {
  *os << file.what;
}

/// gtest wants letters and digits only.
inline std::string
nameOfMalformed(const ::testing::TestParamInfo<MalformedFile> &info) {
  std::string name = std::to_string(info.index) + "_";
  for (char c : std::string(info.param.what))
    name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

/// One sentence that says the expected and names the file.
inline void expectSentence(llvm::Error error, const std::string &path,
                           const std::string &part) {
  ASSERT_TRUE(bool(error)) << "the file was accepted";
  std::string message = llvm::toString(std::move(error));
  EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 600u) << message;
  EXPECT_NE(message.find(llvm::sys::path::filename(path).str()),
            std::string::npos)
      << message;
}

/// Opened as an archive, the file is refused with the sentence.
class MalformedArchive : public ::testing::TestWithParam<MalformedFile> {};

} // namespace mlir::cq::test

#endif // CQ_TEST_UNITTESTS_MODEL_MALFORMED_H
