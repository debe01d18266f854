# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# PyTorch may be absent or untyped where types are checked.
# mypy: disable-error-code="misc,unused-ignore"
"""Linear layers of PyTorch (1.13 or later, CPU) with packed weights; `import cq` needs no PyTorch.

>>> import torch, cq.torch
>>> net = torch.nn.Sequential(torch.nn.Linear(256, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
>>> cq.torch.quantize_linears(net, "b4-g64")
Sequential(
  (0): Linear(in_features=256, out_features=64, bias=True, b4-g64-symmetric-f16, 4.250 bits per weight)
  (1): ReLU()
  (2): Linear(in_features=64, out_features=16, bias=True, b4-g64-symmetric-f16, 4.250 bits per weight)
)
>>> net(torch.zeros(3, 256)).shape
torch.Size([3, 16])
"""

import re
from typing import Any, Dict, Iterable, Optional

import numpy as np
import torch

from ._quantize import DEFAULT, quantize
from .weight import PLANES, Product, QuantizedWeight


class _Multiply(torch.autograd.Function):
    """x @ W.T; gradients go to x, the weight is fixed."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: "Linear") -> torch.Tensor:  # type: ignore[override]
        ctx.layer = layer
        return layer._run(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weight = torch.from_numpy(ctx.layer.weight_planes().dequantize())
        return gradients[0] @ weight.to(gradients[0].dtype), None


class Linear(torch.nn.Module):
    """y = x W^T + b with a packed W [out_features, in_features], on the CPU.

    Made by `from_float` or from a QuantizedWeight. The planes are uint8 buffers, so that
    state_dict() and torch.save work; gradients flow to x only. Any leading dimensions of x;
    float32 is computed, other floating types are converted.
    """

    def __init__(self, weight: QuantizedWeight, bias: Optional[torch.Tensor] = None, activation: str = "f32"):
        super().__init__()
        if weight.layout != "panel16":
            weight = weight.relayout("panel16")
        self.out_features, self.in_features = weight.shape
        self.choice = weight.choice
        self.activation = activation
        for name, plane in weight.planes.items():
            self.register_buffer(name, torch.from_numpy(plane))
        self.bias: Optional[torch.Tensor]
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._product: Optional[Product] = Product(weight, activation)

    @classmethod
    def from_float(cls, linear: torch.nn.Linear, choice: str = DEFAULT, *, activation: str = "f32",
                   **options: Any) -> "Linear":
        """Quantizes the weight of a torch.nn.Linear; options as those of cq.quantize."""
        return cls(quantize(linear.weight, choice, **options), linear.bias, activation)

    def weight_planes(self) -> QuantizedWeight:
        """The weight of the buffers."""
        planes = {name: getattr(self, name).detach().cpu().numpy() for name in PLANES}
        return QuantizedWeight.from_planes(planes, (self.out_features, self.in_features), self.choice)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        if self._product is None:
            self._product = Product(self.weight_planes(), self.activation)
        rows = x.detach().to(torch.float32).reshape(-1, self.in_features)
        if rows.shape[0] == 0:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        y = self._product(np.ascontiguousarray(rows.numpy()))
        return torch.from_numpy(y).to(x.dtype).reshape(*x.shape[:-1], self.out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out_features] of x [..., in_features]"""
        if x.device.type != "cpu":
            raise ValueError(f"cq.torch.Linear runs on the CPU, x is on {x.device}")
        if not x.is_floating_point():
            raise TypeError(f"x must be floating-point, not {x.dtype}")
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"the last dimension of x must be {self.in_features}, its shape is {tuple(x.shape)}")
        y = _Multiply.apply(x, self)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def _load_from_state_dict(self, state_dict: Dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._product = None  # the planes changed

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_product": None}  # code stays in its process

    def extra_repr(self) -> str:
        weights = self.out_features * self.in_features
        bits = 8 * sum(getattr(self, name).numel() for name in PLANES) / weights
        return (f"in_features={self.in_features}, out_features={self.out_features}, "
                f"bias={self.bias is not None}, {self.choice}, {bits:.3f} bits per weight")


def quantize_linears(module: torch.nn.Module, choice: Optional[str] = None, *, bpw: Optional[float] = None,
                     keep: Iterable[str] = (), activation: str = "f32", **options: Any) -> torch.nn.Module:
    """Replaces every torch.nn.Linear of `module` by a Linear of this module, in place, and
    returns it. `choice`, or a budget `bpw` over all of them; `keep`: regular expressions of
    names (like "decoder.out") that stay as they are; options as those of cq.quantize."""
    keep = list(keep)
    found = {name: layer for name, layer in module.named_modules()
             if type(layer) is torch.nn.Linear and not any(re.search(pattern, name) for pattern in keep)}
    if not found:
        raise ValueError("there is no torch.nn.Linear to replace")
    if "" in found:
        return Linear(quantize(module.weight, choice, bpw=bpw, **options), found[""].bias, activation)
    weights = {name + ".weight": layer.weight for name, layer in found.items()}
    packed = quantize(weights, choice, bpw=bpw, **options).packed
    for name, layer in found.items():
        if name + ".weight" in packed:
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, Linear(packed[name + ".weight"], layer.bias, activation))
    return module
