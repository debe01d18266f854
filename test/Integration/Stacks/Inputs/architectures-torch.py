# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of several kinds as torch-mlir exports them, with inputs and PyTorch's results: architectures-torch.py FOLDER"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_mlir import fx
from torch_mlir.compiler_utils import OutputType

torch.manual_seed(3)
weight = lambda *shape: nn.Parameter(torch.randn(*shape) * 0.1)


class GPT2(nn.Module):  # weights [K, N] in addmm, learned positions, a tied head
    def __init__(self):
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(96, 64), nn.Embedding(16, 64), nn.LayerNorm(64)
        self.qkv, self.out = weight(64, 192), weight(64, 64)
        self.b1, self.b2 = weight(192), weight(64)

    def forward(self, tokens):
        x = (self.words(tokens) + self.places(torch.arange(8)))[0]
        qkv = torch.addmm(self.b1, self.norm(x), self.qkv).reshape(1, 8, 3, 4, 16)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(8, 64)
        return (x + torch.addmm(self.b2, a, self.out)) @ self.words.weight.t()


class Experts(nn.Module):  # one einsum reads [E, K, N] as [K, E N], the other as a stack
    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(64, 16, bias=False), weight(16, 64, 96), weight(16, 96, 64)

    def forward(self, x):
        h = torch.einsum("td,edh->eth", x, self.up).relu()
        return torch.einsum("etd,te->td", torch.einsum("eth,ehd->etd", h, self.down), self.gate(x).softmax(-1))


class LSTM(nn.Module):  # weights shared by steps
    def __init__(self):
        super().__init__()
        self.input, self.state = nn.Linear(64, 256), nn.Linear(64, 256)

    def forward(self, x):
        h = c = torch.zeros(2, 64)
        for t in range(3):
            i, f, g, o = (self.input(x[:, t]) + self.state(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


class ConvNet(nn.Module):  # of these convolutions only the 1x1 one without groups is a product
    def __init__(self):
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.point, self.head = nn.Conv2d(32, 64, 1), nn.Linear(64, 32)

    def forward(self, x):
        return self.head(self.point(self.deep(self.stem(x).relu())).relu().mean((2, 3)))


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(64, 96).half(), nn.Linear(96, 64, bias=False).half()

    def forward(self, x):
        return self.down(F.silu(self.up(x.half()))).float()


class Slices(nn.Module):  # q, k and v in one weight
    def __init__(self):
        super().__init__()
        self.qkv = weight(192, 64)

    def forward(self, x):
        q, k, v = (F.linear(x, self.qkv[i : i + 64]) for i in (0, 64, 128))
        return q.tanh() * k.sigmoid() + v


class Heads(nn.Module):  # a matrix a head
    def __init__(self):
        super().__init__()
        self.q, self.o = weight(4, 64, 16), weight(4, 16, 64)

    def forward(self, x):
        return torch.einsum("bhlk,hkd->bld", torch.einsum("bld,hdk->bhlk", x, self.q).tanh(), self.o)


class Normed(nn.Module):  # a weight that is computed stays
    def __init__(self):
        super().__init__()
        self.v, self.g, self.head = weight(96, 64), weight(96, 1), nn.Linear(96, 32)

    def forward(self, x):
        return self.head(F.linear(x, self.g * self.v / self.v.norm(dim=1, keepdim=True)))


folder = sys.argv[1]
for model, x in ((GPT2(), torch.randint(0, 96, (1, 8))), (Experts(), torch.randn(6, 64)), (LSTM(), torch.randn(2, 3, 64)),
                 (ConvNet(), torch.randn(1, 3, 16, 16)), (Half(), torch.randn(3, 64)), (Slices(), torch.randn(3, 64)),
                 (Heads(), torch.randn(2, 5, 64)), (Normed(), torch.randn(3, 64))):
    path = os.path.join(folder, type(model).__name__)
    module = fx.export_and_import(model.eval(), x, output_type=OutputType.LINALG_ON_TENSORS, func_name="main")
    with open(path + ".mlir", "w") as file:
        file.write(module.operation.get_asm(print_generic_op_form=True, assume_verified=True))
    with torch.no_grad():
        np.savez(path, x=x.numpy(), y=model(x).numpy())
