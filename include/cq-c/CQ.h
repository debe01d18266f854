/*===- CQ.h - The C API of cq -------------------------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* Everything. The parts:                                                     *|
|*                                                                            *|
|*   Core.h     version, errors, text                                         *|
|*   Module.h   MLIR modules: parse, run passes, print                        *|
|*   Weight.h   one weight matrix: quantize, look at planes, dequantize,
multiply*|
|*   Plan.h     what storing weights costs, who gets which bits, plan files   *|
|*   Model.h    checkpoints and language models: import, compile, run         *|
|*                                                                            *|
|* Link with libcq-c.so (-lcq-c). docs/CAPI.md has examples.                  *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_CQ_H
#define CQ_C_CQ_H

#include "cq-c/Core.h"
#include "cq-c/Model.h"
#include "cq-c/Module.h"
#include "cq-c/Plan.h"
#include "cq-c/Weight.h"

#endif /* CQ_C_CQ_H */
