# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Greedy tokens of an exported stories260K. usage: iree-greedy.py VMFB ARCHIVE COUNT"""

import sys

import cq_iree
import numpy as np

module = cq_iree.Module(*sys.argv[1:3])
keys = np.zeros((5, 512, 4, 8), np.float32)
values, token, tokens = keys.copy(), 1, []
for position in range(int(sys.argv[3])):
    # A chunk of eight of which the first token counts: the next call overwrites the rest.
    chunk = np.full(8, token, np.int32)
    hidden, keys, values = module.module.forward_8(chunk, position, keys, values)
    token = int(module("logits_8", hidden)[0].argmax())
    tokens.append(token)
print(*tokens)
