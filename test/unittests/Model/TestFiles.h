//===- TestFiles.h - Making model files for tests ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_UNITTESTS_MODEL_TESTFILES_H
#define CQ_TEST_UNITTESTS_MODEL_TESTFILES_H

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace mlir::cq::test {

/// The value of an environment variable, or "".
inline std::string environment(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

/// A folder that goes away with everything in it.
class TemporaryFolder {
public:
  TemporaryFolder() {
    EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("cq-model-test", path));
  }
  ~TemporaryFolder() { llvm::sys::fs::remove_directories(path); }

  std::string file(const llvm::Twine &name) const {
    llvm::SmallString<128> full(path);
    llvm::sys::path::append(full, name);
    return full.str().str();
  }
  /// Writes a file and returns its path.
  std::string write(const llvm::Twine &name, llvm::StringRef bytes) const {
    std::error_code error;
    llvm::raw_fd_ostream os(file(name), error);
    EXPECT_FALSE(error);
    os << bytes;
    return file(name);
  }
  std::vector<std::string> list() const {
    std::vector<std::string> names;
    std::error_code error;
    for (llvm::sys::fs::directory_iterator it(path, error), end; it != end;
         it.increment(error))
      names.push_back(llvm::sys::path::filename(it->path()).str());
    return names;
  }

  llvm::SmallString<128> path;
};

/// Little-endian bytes of a number.
template <typename T> std::string bytesOf(T value) {
  return std::string(reinterpret_cast<const char *>(&value), sizeof(T));
}
template <typename T> std::string bytesOf(const std::vector<T> &values) {
  return std::string(reinterpret_cast<const char *>(values.data()),
                     values.size() * sizeof(T));
}

} // namespace mlir::cq::test

#endif // CQ_TEST_UNITTESTS_MODEL_TESTFILES_H
