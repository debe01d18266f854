//===- ObjectCache.cpp - Compiled code on disk ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/ObjectCache.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/CacheFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA256.h"
#include <dlfcn.h>

using namespace mlir::cq;

static std::string hashOf(llvm::StringRef bytes) {
  llvm::SHA256 hash;
  hash.update(bytes);
  return llvm::toHex(hash.final(), /*LowerCase=*/true);
}

/// One hash for both files of an entry. `interface` prints with sorted keys, so
/// what was parsed prints as it was written.
static std::string hashOf(const llvm::json::Value &interface,
                          llvm::StringRef object) {
  std::string text;
  llvm::raw_string_ostream(text) << interface;
  return hashOf(hashOf(text) + hashOf(object));
}

static void describeFile(llvm::StringRef path, llvm::raw_ostream &os) {
  llvm::sys::fs::file_status status;
  if (!llvm::sys::fs::status(path, status))
    os << ' ' << status.getSize() << ' '
       << status.getLastModificationTime().time_since_epoch().count();
}

std::string mlir::cq::describeCompiler() {
  std::string text = "cq 0.1.0 LLVM " LLVM_VERSION_STRING;
  llvm::raw_string_ostream os(text);
  static int anchor;
  describeFile(llvm::sys::fs::getMainExecutable(nullptr, &anchor), os);
  Dl_info holder;
  if (dladdr(&anchor, &holder) && holder.dli_fname &&
      llvm::StringRef(holder.dli_fname).ends_with(".so"))
    describeFile(holder.dli_fname, os);
  return text;
}

static constexpr llvm::StringRef kDefaultPolicy =
    "cache_size_bytes=512m:prune_after=720h:cache_size=0%:"
    "cache_size_files=0";

llvm::CachePruningPolicy ObjectCache::defaultPolicy() {
  return llvm::cantFail(llvm::parseCachePruningPolicy(kDefaultPolicy));
}

llvm::Expected<llvm::CachePruningPolicy>
ObjectCache::parsePolicy(llvm::StringRef text) {
  if (text.empty())
    return defaultPolicy();
  // What comes later counts.
  auto policy =
      llvm::parseCachePruningPolicy((kDefaultPolicy + ":" + text).str());
  if (!policy)
    return llvm::createStringError(
        llvm::inconvertibleErrorCode(),
        "cache policy '" + text + "': " + llvm::toString(policy.takeError()) +
            "; write it like cache_size_bytes=1g:prune_after=720h");
  return policy;
}

ObjectCache::ObjectCache(llvm::StringRef directory,
                         llvm::CachePruningPolicy policy)
    : directory(directory.empty() ? cacheFolder() + "/objects"
                                  : directory.str()),
      policy(policy) {}

/// The path of an entry's files, without extension.
static llvm::SmallString<128> entryPath(llvm::StringRef directory,
                                        llvm::StringRef key) {
  llvm::SmallString<128> path(directory);
  llvm::sys::path::append(path, "llvmcache-" + key);
  return path;
}

std::string ObjectCache::getKey(llvm::StringRef source,
                                llvm::StringRef options) {
  // Hash of hashes, so that no byte can move from one part to the other.
  return hashOf(hashOf(options) + hashOf(source));
}

static std::unique_ptr<llvm::MemoryBuffer> read(const llvm::Twine &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  return buffer ? std::move(*buffer) : nullptr;
}

/// llvm::json::parse recurses; a damaged file must not take the stack with it.
std::optional<CachedObject> ObjectCache::load(llvm::StringRef key) const {
  llvm::SmallString<128> base = entryPath(directory, key);
  auto text = read(base + ".json"), object = read(base + ".o");
  if (!text || !object)
    return std::nullopt;
  llvm::Expected<llvm::json::Value> value =
      parseBoundedJSON(text->getBuffer(), base);
  if (!value) {
    llvm::consumeError(value.takeError());
    return std::nullopt;
  }
  const llvm::json::Object *entry = value->getAsObject();
  const llvm::json::Value *stored = entry ? entry->get("interface") : nullptr;
  if (!stored ||
      entry->getInteger("bytes") !=
          static_cast<int64_t>(object->getBufferSize()) ||
      entry->getString("sha256") !=
          llvm::StringRef(hashOf(*stored, object->getBuffer())))
    return std::nullopt;
  llvm::Expected<ModuleInterface> interface =
      ModuleInterface::fromJSON(*stored);
  if (!interface) {
    llvm::consumeError(interface.takeError());
    return std::nullopt;
  }
  return CachedObject{std::move(*interface), std::move(object)};
}

/// A cache that cannot be written costs time later, nothing else.
static bool write(llvm::StringRef path, llvm::StringRef bytes) {
  llvm::Error error = writeFileAtomically(path, bytes);
  bool ok = !error;
  llvm::consumeError(std::move(error));
  return ok;
}

bool ObjectCache::store(llvm::StringRef key, const ModuleInterface &interface,
                        llvm::StringRef object) const {
  if (llvm::sys::fs::create_directories(directory))
    return false;
  llvm::SmallString<128> base = entryPath(directory, key);
  llvm::json::Object entry{{"bytes", static_cast<int64_t>(object.size())},
                           {"sha256", hashOf(interface.toJSON(), object)},
                           {"interface", interface.toJSON()}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(entry));
  bool written =
      write((base + ".o").str(), object) && write((base + ".json").str(), text);
  // Looks at the folder once in twenty minutes only, unless told otherwise.
  llvm::pruneCache(directory, policy);
  return written;
}
