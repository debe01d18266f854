/*===- Module.h - C API: MLIR modules and passes ------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* Contexts, modules, pipelines. All upstream dialects and passes and those of*|
|* cq are known. A module keeps its context alive: free them in any order.    *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_MODULE_H
#define CQ_C_MODULE_H

#include "cq-c/Core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CqContext_ *CqContext;
typedef struct CqModule_ *CqModule;

/*===-- Contexts ----------------------------------------------------------===*/

typedef enum {
  CQ_SEVERITY_NOTE = 0,
  CQ_SEVERITY_WARNING = 1,
  CQ_SEVERITY_ERROR = 2,
  CQ_SEVERITY_REMARK = 3
} CqSeverity;

/** Sees one diagnostic. `location` ("model.mlir":3:5) and `message` live until
 * it returns. It may be called by any thread, but not by two at a time, and
 * must not call back into the context or its modules. */
typedef void (*CqDiagnosticHandler)(CqSeverity severity, const char *location,
                                    const char *message, void *user);

/** An empty context. It costs milliseconds; modules may share one. */
CQ_C_EXPORTED CqContext cqContextCreate(void);

/** Every diagnostic of the context's modules goes to `handler` (NULL: to
 * nobody) as well as, for errors, into cqLastError(). `user` is passed on and
 * must live as long as the context or the next call of this. */
CQ_C_EXPORTED int cqContextSetDiagnosticHandler(CqContext context,
                                                CqDiagnosticHandler handler,
                                                void *user);

/** Whether operations of dialects that nobody registered parse (not 0) or are
 * errors (0, the default). */
CQ_C_EXPORTED int cqContextAllowUnregisteredDialects(CqContext context,
                                                     int allow);

/** Whether passes use several threads (the default). */
CQ_C_EXPORTED int cqContextEnableMultithreading(CqContext context, int enable);

CQ_C_EXPORTED void cqContextFree(CqContext context);

/*===-- Modules -----------------------------------------------------------===*/

/** Parses and verifies a module, text or bytecode, `length` bytes. `context`
 * NULL: one of its own. NULL on error. */
CQ_C_EXPORTED CqModule cqModuleParse(CqContext context, const char *text,
                                     size_t length);

/** The same from a file. */
CQ_C_EXPORTED CqModule cqModuleRead(CqContext context, const char *path);

/** Runs passes as cq-opt does, e.g. "cq-quantize{bits=3}" or
 * "builtin.module(cq-quantize{bits=3},canonicalize)". After a failure the
 * module may be half rewritten: only print or free it. */
CQ_C_EXPORTED int cqModuleRunPipeline(CqModule module, const char *pipeline);

/** The module as text, in the generic form when `generic` is not 0. Reads
 * only. Free with cqStringFree. */
CQ_C_EXPORTED char *cqModulePrint(CqModule module, int generic);

/** The module as MLIR bytecode, `length` bytes. Reads only. Free with
 * cqStringFree. */
CQ_C_EXPORTED char *cqModuleWriteBytecode(CqModule module, size_t *length);

CQ_C_EXPORTED void cqModuleFree(CqModule module);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_MODULE_H */
