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
// such a kernel.
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <sched.h>
#include <thread>
#include <vector>

namespace {
/// Spins before a worker sleeps: some 50 µs of `pause`.
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

class ThreadPool {
public:
  ~ThreadPool() { stop(); }

  void run(cq_parallel_body body, void *context, int64_t tasks) {
    if (tasks <= 0)
      return;
    if (insideBody || tasks == 1 ||
        wanted.load(std::memory_order_relaxed) == 1) {
      runInline(body, context, 0, tasks);
      return;
    }
    std::lock_guard<std::mutex> callers(callerMutex);
    resize(wanted.load(std::memory_order_relaxed));
    int parts = static_cast<int>(std::min<int64_t>(tasks, size));
    job = {body, context, tasks, parts};
    pending.store(parts - 1, std::memory_order_relaxed);
    // Full order between the new ticket and the count of sleepers: either a
    // worker about to sleep sees the ticket, or we see the sleeper.
    ticket.store(nextTicket(parts), std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleepMutex);
      wake.notify_all();
    }
    runPart(job, 0);
    int spins = 0;
    while (pending.load(std::memory_order_acquire) != 0) {
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
  struct Job {
    cq_parallel_body body = nullptr;
    void *context = nullptr;
    int64_t tasks = 0;
    int parts = 0;
  };

  static void runInline(cq_parallel_body body, void *context, int64_t begin,
                        int64_t end) {
    bool before = insideBody;
    insideBody = true;
    body(context, begin, end);
    insideBody = before;
  }

  static void runPart(const Job &job, int part) {
    int64_t base = job.tasks / job.parts, extra = job.tasks % job.parts;
    int64_t begin = part * base + std::min<int64_t>(part, extra);
    runInline(job.body, job.context, begin,
              begin + base + (part < extra ? 1 : 0));
  }

  /// A ticket is a running number above 16 bits that say how many parts it has.
  /// A worker without a part must not look at `job`: the caller does not wait
  /// for it and may already be writing the next one.
  static constexpr uint64_t kStop = 0xffff;
  uint64_t nextTicket(uint64_t parts) {
    return ((ticket.load(std::memory_order_relaxed) >> 16) + 1) << 16 | parts;
  }

  void work(uint64_t index, uint64_t seen) {
    for (;;) {
      uint64_t current;
      for (int spins = 0;
           (current = ticket.load(std::memory_order_acquire)) == seen;) {
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
      uint64_t parts = current & 0xffff;
      if (parts == kStop)
        return;
      if (index >= parts)
        continue;
      runPart(job, static_cast<int>(index));
      pending.fetch_sub(1, std::memory_order_release);
    }
  }

  void resize(int threads) {
    if (threads == size)
      return;
    stop();
    uint64_t seen = ticket.load(std::memory_order_relaxed);
    for (int index = 1; index < threads; ++index)
      workers.emplace_back([this, index, seen] { work(index, seen); });
    size = threads;
  }

  void stop() {
    if (workers.empty())
      return;
    ticket.store(nextTicket(kStop), std::memory_order_seq_cst);
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
  int size = 1;
  std::atomic<int> wanted{initialThreads()};
  Job job;
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int> pending{0};
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
extern "C" void cq_set_threads(int threads) { pool().setThreads(threads); }
extern "C" int cq_threads(void) { return pool().threads(); }
