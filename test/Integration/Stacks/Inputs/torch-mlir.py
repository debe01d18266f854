# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Two modules by torch-mlir, with inputs and what PyTorch computes: torch-mlir.py FOLDER

`plain` has weights that 8 bits in groups of 32 hold exactly; `decoded` holds codes and
decodes them itself, in one case from bytes of two codes."""

import os
import sys

import numpy as np
import torch
from torch_mlir import fx
from torch_mlir.compiler_utils import OutputType

folder = sys.argv[1]
torch.manual_seed(3)


def exact(layer):
    with torch.no_grad():
        w = torch.randint(-126, 127, layer.weight.shape).float()
        w[:, ::32], w[:, 1::32] = 127, -127
        layer.weight.copy_(w / 128)


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.gate, self.down = (torch.nn.Linear(64, 96), torch.nn.Linear(64, 96, bias=False),
                                         torch.nn.Linear(96, 64))
        self.head = torch.nn.Linear(64, 32, bias=False)
        for layer in (self.up, self.gate, self.down, self.head):
            exact(layer)

    def forward(self, x):
        h = torch.nn.functional.layer_norm(x, (64,))
        return self.head(x + self.down(torch.nn.functional.silu(self.gate(h)) * self.up(h)))


class Decoded(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randint(0, 16, (96, 2, 32), dtype=torch.uint8))
        self.register_buffer("zeros", torch.randint(0, 16, (96, 2, 1), dtype=torch.uint8))
        self.register_buffer("scales", torch.rand(96, 2, 1))
        self.register_buffer("packed", torch.randint(0, 256, (32, 48), dtype=torch.uint8))
        self.register_buffer("shifts", torch.tensor([0, 4], dtype=torch.int32))
        self.register_buffer("scale", torch.rand(32, 1))

    def forward(self, x):
        w = ((self.codes.float() - self.zeros.float()) * self.scales).reshape(96, 64)
        codes = torch.bitwise_and(torch.bitwise_right_shift(self.packed.int().unsqueeze(-1), self.shifts), 15)
        v = (codes.reshape(32, 96).float() - 8.0) * self.scale
        return torch.relu(x @ w.t()) @ v.t()


for name, model in (("plain", Plain()), ("decoded", Decoded())):
    x = torch.randn(3, 64)
    module = fx.export_and_import(model.eval(), x, output_type=OutputType.LINALG_ON_TENSORS, func_name="main")
    with open(os.path.join(folder, name + ".mlir"), "w") as file:
        file.write(module.operation.get_asm(print_generic_op_form=True, assume_verified=True))
    np.save(os.path.join(folder, name + ".x.npy"), x.numpy())
    with torch.no_grad():
        np.save(os.path.join(folder, name + ".y.npy"), model.double()(x.double()).numpy())
