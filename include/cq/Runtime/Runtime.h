//===- Runtime.h - What generated code calls --------------------*- C -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The C ABI of libcq_runtime: a persistent thread pool, buffers, scratch
// memory and observers.
// Plain C, no LLVM and no MLIR, so that ahead-of-time code links nothing else.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_RUNTIME_H
#define CQ_RUNTIME_RUNTIME_H

#include <stdint.h>

#if defined(__GNUC__)
#define CQ_RUNTIME_EXPORT __attribute__((visibility("default")))
#else
#define CQ_RUNTIME_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Works on tasks [begin, end).
typedef void (*cq_parallel_body)(void *context, int64_t begin, int64_t end);

/// Cuts [0, tasks) into contiguous ranges, a few of about equal size for each
/// of cq_threads() threads (the caller is one), runs each once on some thread
/// and returns when all are done. The cut depends on `tasks` and the number of
/// threads only; a thread takes its own ranges first, then what others have
/// not begun. A call from inside a body runs serially; calls from several
/// threads at once wait for one another.
CQ_RUNTIME_EXPORT void cq_parallel_for(cq_parallel_body body, void *context,
                                       int64_t tasks);

/// Says that the tasks of this thread's next cq_parallel_for read `bytes` from
/// `plane` on, in the order of tasks; of four planes at most. Threads that wait
/// fetch what was read after it the last time. A hint: nothing is read for it.
CQ_RUNTIME_EXPORT void cq_reads(const void *plane, int64_t bytes);

/// Sets the number of threads (the caller included); below 1: one for each CPU
/// this process may use. Takes effect at the next cq_parallel_for.
CQ_RUNTIME_EXPORT void cq_set_threads(int threads);

/// The number of threads. Starts as $CQ_NUM_THREADS, or one for each CPU.
CQ_RUNTIME_EXPORT int cq_threads(void);

/// At least `bytes` of memory of the calling thread, 64-byte aligned, contents
/// undefined, valid until this thread's next call. Aborts when memory is out.
CQ_RUNTIME_EXPORT void *cq_scratch(int64_t bytes);

/// Like cq_scratch, a second buffer: what a caller packs once for all threads
/// of a cq_parallel_for, while bodies (on this thread as well) use cq_scratch.
CQ_RUNTIME_EXPORT void *cq_workspace(int64_t bytes);

/// A buffer of at least `bytes`, 64-byte aligned, contents undefined; any
/// thread gives it back with cq_deallocate, and its memory is kept for that
/// thread's next buffers of such a size (256 MB a thread at most). Aborts when
/// memory is out.
CQ_RUNTIME_EXPORT void *cq_allocate(int64_t bytes);
/// Of null: nothing.
CQ_RUNTIME_EXPORT void cq_deallocate(void *buffer);

/// Sees observation `number` (`cq.observe` of instrumented code): `operands`
/// dense f32 matrices data[i], of sizes[2 i] rows and sizes[2 i + 1] columns,
/// valid until it returns.
typedef void (*cq_observer)(void *user, int64_t number, int64_t operands,
                            const float *const *data, const int64_t *sizes);

/// Who sees the observations from now on; null: nobody.
CQ_RUNTIME_EXPORT void cq_set_observer(cq_observer observer, void *user);

/// Called by instrumented code, one call at a time, outside of
/// cq_parallel_for's bodies.
CQ_RUNTIME_EXPORT void cq_observe(int64_t number, int64_t operands,
                                  const float *const *data,
                                  const int64_t *sizes);

#ifdef __cplusplus
}
#endif

#endif // CQ_RUNTIME_RUNTIME_H
