//===- Observer.cpp - Who sees what instrumented code observes ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"

static cq_observer currentObserver = nullptr;
static void *currentUser = nullptr;

extern "C" void cq_set_observer(cq_observer observer, void *user) {
  currentObserver = observer;
  currentUser = user;
}

extern "C" void cq_observe(int64_t number, int64_t operands,
                           const float *const *data, const int64_t *sizes) {
  if (currentObserver)
    currentObserver(currentUser, number, operands, data, sizes);
}
