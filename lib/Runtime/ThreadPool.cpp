//===- ThreadPool.cpp - Persistent threads, static partition --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A decode step launches hundreds of kernels of a few microseconds each, so
// workers spin for a moment before they sleep; waking a sleeper costs more than
// such a kernel. Every thread has its own share of the tasks, always the same,
// cut into a few pieces; one that is done takes pieces that others have not
// begun, so a worker that sleeps or was moved off its CPU holds nobody up but
// for the piece in its hands. Who runs a piece changes no result.
//
//===----------------------------------------------------------------------===//

#include "ReadAhead.h"
#include "cq/Runtime/Runtime.h"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <sched.h>
#include <thread>
#include <utility>
#include <vector>

using namespace mlir::cq;

namespace {
/// Spins before a worker sleeps: 50 to 100 µs of `pause`.
constexpr int kSpins = 4000;

inline void pauseCpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

int availableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

int initialThreads() {
  if (const char *text = std::getenv("CQ_NUM_THREADS")) {
    int threads = std::atoi(text);
    if (threads >= 1)
      return std::min(threads, 1024);
  }
  return availableCpus();
}

/// True while this thread runs a body: nested calls are serial.
thread_local bool insideBody = false;

/// What this thread's next launch reads.
thread_local ReadAhead::Planes reading;

class ThreadPool {
public:
  ~ThreadPool() { stop(); }

  void run(cq_parallel_body body, void *context, int64_t tasks) {
    ReadAhead::Planes planes = std::exchange(reading, {});
    if (tasks <= 0)
      return;
    if (insideBody || tasks == 1 ||
        wanted.load(std::memory_order_relaxed) == 1) {
      runInline(body, context, 0, tasks);
      return;
    }
    std::lock_guard<std::mutex> callers(callerMutex);
    resize(wanted.load(std::memory_order_relaxed));
    publish(body, context, tasks);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleepMutex);
      wake.notify_all();
    }
    ahead.begin(planes);
    takePieces(0, ticket.load(std::memory_order_relaxed));
    int spins = 0;
    while (pending.load(std::memory_order_acquire) != 0) {
      if (fetchAhead(fetched, 0))
        continue;
      // With more threads than CPUs the worker may need ours.
      if (++spins > kSpins)
        std::this_thread::yield();
      else
        pauseCpu();
    }
  }

  void setThreads(int threads) {
    wanted.store(threads < 1 ? availableCpus() : std::min(threads, 1024),
                 std::memory_order_relaxed);
  }
  int threads() const { return wanted.load(std::memory_order_relaxed); }

private:
  /// Pieces a thread's share is cut into at most.
  static constexpr int64_t kPieces = ReadAhead::kPieces;
  struct Job {
    cq_parallel_body body = nullptr;
    void *context = nullptr;
    int64_t tasks = 0, pieces = 0;
    /// The first task of a piece: an even one where pieces are long, because
    /// products of many tokens take panels in pairs.
    int64_t begin(int64_t piece) const {
      int64_t task = tasks * piece / pieces;
      return tasks < 4 * pieces || piece == pieces ? task : task & ~1;
    }
  };
  /// A thread's share: the job's number, the share's end and its first piece
  /// that is not begun, in one word, so that who comes late cannot take a
  /// piece of another job.
  struct alignas(64) Share {
    std::atomic<uint64_t> word{0};
  };
  static uint64_t shareWord(uint64_t number, int64_t end, int64_t next) {
    return number << 32 | static_cast<uint64_t>(end) << 16 |
           static_cast<uint64_t>(next);
  }

  static void runInline(cq_parallel_body body, void *context, int64_t begin,
                        int64_t end) {
    bool before = insideBody;
    insideBody = true;
    body(context, begin, end);
    insideBody = before;
  }

  /// Numbers the pieces of all shares and tells the workers.
  void publish(cq_parallel_body body, void *context, int64_t tasks) {
    int64_t threads = size;
    // Pieces of two tasks or more: of few tasks each may take long.
    int64_t perThread = std::clamp<int64_t>(tasks / (2 * threads), 1, kPieces);
    job = {body, context, tasks, std::min(tasks, perThread * threads)};
    pending.store(job.pieces, std::memory_order_relaxed);
    uint64_t number = ticket.load(std::memory_order_relaxed) + 1;
    for (int64_t i = 0; i < threads; ++i)
      shares[i].word.store(shareWord(number, job.pieces * (i + 1) / threads,
                                     job.pieces * i / threads),
                           std::memory_order_release);
    // Full order between the new ticket and the count of sleepers: either a
    // worker about to sleep sees the ticket, or we see the sleeper.
    ticket.store(number, std::memory_order_seq_cst);
  }

  /// Runs pieces of job `number` that nobody has begun, `first`'s share before
  /// the others', and then takes them off `pending` at once: that cache line
  /// moves between CPUs once a thread, not once a piece.
  void takePieces(int first, uint64_t number) {
    int64_t done = 0;
    for (int i = 0, threads = static_cast<int>(numShares); i < threads; ++i) {
      std::atomic<uint64_t> &share = shares[(first + i) % threads].word;
      uint64_t word = share.load(std::memory_order_acquire);
      for (;;) {
        int64_t end = word >> 16 & 0xffff, piece = word & 0xffff;
        if (word >> 32 != (number & 0xffffffff) || piece >= end)
          break;
        // Succeeds only while the caller waits for this piece, so `job` is
        // still the job of that number.
        if (!share.compare_exchange_weak(word, word + 1,
                                         std::memory_order_acq_rel,
                                         std::memory_order_acquire))
          continue;
        runInline(job.body, job.context, job.begin(piece),
                  job.begin(piece + 1));
        ++done;
        word = share.load(std::memory_order_acquire);
      }
    }
    if (done != 0)
      pending.fetch_sub(done, std::memory_order_release);
  }

  /// Whether there was something to fetch for a thread that waits.
  bool fetchAhead(ReadAhead::Cursor &cursor, int64_t thread) const {
    const char *at = ahead.next(cursor, thread, numShares);
    for (int64_t line = 0; at && line < ReadAhead::kStep; line += 64)
      __builtin_prefetch(at + line, /*rw=*/0, /*locality=*/2);
    return at != nullptr;
  }

  void work(uint64_t index, uint64_t seen) {
    for (ReadAhead::Cursor fetched;;) {
      uint64_t current;
      for (int spins = 0;
           (current = ticket.load(std::memory_order_acquire)) == seen;) {
        if (fetchAhead(fetched, static_cast<int64_t>(index)))
          continue;
        if (++spins <= kSpins) {
          pauseCpu();
          continue;
        }
        std::unique_lock<std::mutex> lock(sleepMutex);
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        wake.wait(lock, [&] {
          return ticket.load(std::memory_order_seq_cst) != seen;
        });
        sleepers.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = current;
      if (stopping.load(std::memory_order_acquire))
        return;
      takePieces(static_cast<int>(index), current);
    }
  }

  void resize(int threads) {
    if (threads == size)
      return;
    stop();
    stopping.store(false, std::memory_order_relaxed);
    shares = std::make_unique<Share[]>(threads);
    numShares = threads;
    uint64_t seen = ticket.load(std::memory_order_relaxed);
    for (int index = 1; index < threads; ++index)
      workers.emplace_back([this, index, seen] { work(index, seen); });
    size = threads;
  }

  void stop() {
    if (workers.empty())
      return;
    stopping.store(true, std::memory_order_relaxed);
    ticket.fetch_add(1, std::memory_order_seq_cst);
    {
      std::lock_guard<std::mutex> lock(sleepMutex);
      wake.notify_all();
    }
    for (std::thread &worker : workers)
      worker.join();
    workers.clear();
    size = 1;
  }

  std::mutex callerMutex, sleepMutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  std::unique_ptr<Share[]> shares;
  int64_t numShares = 0;
  std::atomic<bool> stopping{false};
  int size = 1;
  std::atomic<int> wanted{initialThreads()};
  Job job;
  ReadAhead ahead;
  ReadAhead::Cursor fetched; ///< by the caller
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> pending{0};
  alignas(64) std::atomic<int> sleepers{0};
};

ThreadPool &pool() {
  static ThreadPool instance;
  return instance;
}
} // namespace

extern "C" void cq_parallel_for(cq_parallel_body body, void *context,
                                int64_t tasks) {
  pool().run(body, context, tasks);
}
extern "C" void cq_reads(const void *plane, int64_t bytes) {
  reading.add(plane, bytes);
}
extern "C" void cq_set_threads(int threads) { pool().setThreads(threads); }
extern "C" int cq_threads(void) { return pool().threads(); }
