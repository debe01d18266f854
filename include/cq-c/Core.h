/*===- Core.h - C API: version, errors, text ----------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* Rules of the whole API:                                                    *|
|*                                                                            *|
|* Handles are opaque. Who gets one from a function that creates, parses,     *|
|* reads or loads owns it, and frees it with the Free function of its type,   *|
|* which takes NULL. No handle needs another one to stay alive.               *|
|*                                                                            *|
|* Functions that can fail return NULL, -1 or a status that is not 0, and     *|
|* leave one sentence in cqLastError() of the calling thread; they write to   *|
|* no output argument then, unless it says otherwise. NULL where an argument  *|
|* is needed, sizes that are not positive, products that overflow, values of  *|
|* enums that do not exist are errors, not crashes. C++ exceptions do not     *|
|* leave the library. What cannot be checked: that pointers point to as many  *|
|* elements as their sizes say, and that handles have not been freed.         *|
|*                                                                            *|
|* Text comes in as NUL-terminated UTF-8 (or with a length, where it may      *|
|* hold zero bytes), and goes out as a copy to be freed with cqStringFree.    *|
|* Matrices are row-major; sizes count elements, not bytes, unless a comment  *|
|* says bytes. All files appear whole or not at all.                          *|
|*                                                                            *|
|* Threads: different handles may be used by different threads at the same    *|
|* time, one handle by one thread at a time. Functions that only read a       *|
|* handle (their comments say so) may run at the same time on one handle.     *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_CORE_H
#define CQ_C_CORE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CQ_C_EXPORTED __attribute__((visibility("default")))
#else
#define CQ_C_EXPORTED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Grows by one with every change of this API that old callers would notice.
 * Structs with a field `struct_size` may get further fields at their end
 * without such a change: set it to sizeof the struct. */
#define CQ_API_VERSION 2

/** CQ_API_VERSION of the library at run time. */
CQ_C_EXPORTED int cqApiVersion(void);

/** "0.1.0 (LLVM 22.1.8)"; static. */
CQ_C_EXPORTED const char *cqVersion(void);

/** What went wrong in this thread's last failed call; "" before the first. The
 * pointer is valid until the thread's next failure. */
CQ_C_EXPORTED const char *cqLastError(void);

/** Frees text (or bytes) returned by this API. NULL is allowed. */
CQ_C_EXPORTED void cqStringFree(char *text);

/** How many threads products and models use, in all of this process; 0: one a
 * CPU, the default. Not while another thread runs a model or a product. */
CQ_C_EXPORTED int cqSetThreads(int threads);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_CORE_H */
