# RUN: %with_cq CQ_CACHE_DIR=%t.cache %torch_python %s
# REQUIRES: torch, avx2
import copy
import doctest
import io
import pickle
import unittest

import cq
import cq.torch
import torch


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(256, 96), torch.nn.ReLU(), torch.nn.Linear(96, 32, bias=False))


class Linears(unittest.TestCase):
    def test_documentation(self):
        self.assertEqual(doctest.testmod(cq.torch).failed, 0)
        self.assertEqual(doctest.testmod(cq).failed, 0)

    def test_replaces_linear(self):
        torch.manual_seed(0)
        linear = torch.nn.Linear(256, 96)
        packed = cq.torch.Linear.from_float(linear, "b8-g32/slot1-magnitude")
        for shape in ((256,), (1, 256), (3, 5, 256), (0, 256), (70, 256)):
            x = torch.randn(shape)
            expected = linear(x)
            y = packed(x)
            self.assertEqual(y.shape, expected.shape)
            torch.testing.assert_close(y, expected, atol=2e-2, rtol=0)
        torch.testing.assert_close(packed(x[::2]), packed(x)[::2])
        torch.testing.assert_close(packed(x.t().contiguous().t()), packed(x))
        decoded = torch.from_numpy(packed.weight_planes().dequantize())
        torch.testing.assert_close(packed(x), x @ decoded.t() + linear.bias, atol=1e-4, rtol=1e-4)
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            self.assertEqual(packed(x.to(dtype)).dtype, dtype)

    def test_gradients_reach_x(self):
        packed = cq.torch.Linear.from_float(torch.nn.Linear(64, 32), "b4-g64")
        decoded = torch.from_numpy(packed.weight_planes().dequantize())
        x = torch.randn(5, 64, requires_grad=True)
        (packed(x) ** 2).sum().backward()
        z = x.detach().clone().requires_grad_()
        ((z @ decoded.t() + packed.bias) ** 2).sum().backward()
        torch.testing.assert_close(x.grad, z.grad, atol=1e-3, rtol=1e-3)
        self.assertEqual(list(packed.parameters()), [])

    def test_networks(self):
        net, x = network(), torch.randn(4, 256)
        expected = net(x)
        for options in (dict(choice="b8-g64"), dict(bpw=8.3)):
            small = cq.torch.quantize_linears(copy.deepcopy(net), **options)
            self.assertIsInstance(small[0], cq.torch.Linear)
            torch.testing.assert_close(small(x), expected, atol=5e-2, rtol=0)
        kept = cq.torch.quantize_linears(copy.deepcopy(net), "b4-g64", keep=["^2$"], activation="int8")
        self.assertIs(type(kept[2]), torch.nn.Linear)
        self.assertEqual(kept[0].activation, "int8")
        self.assertIsInstance(cq.torch.quantize_linears(torch.nn.Linear(64, 8), "b4-g64"), cq.torch.Linear)

    def test_saving(self):
        small, x = cq.torch.quantize_linears(network(), "b4-g64/slot1-magnitude"), torch.randn(2, 256)
        other = cq.torch.quantize_linears(
            torch.nn.Sequential(torch.nn.Linear(256, 96), torch.nn.ReLU(), torch.nn.Linear(96, 32, bias=False)),
            "b4-g64/slot1-magnitude")
        file = io.BytesIO()
        torch.save(small.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file))
        torch.testing.assert_close(other(x), small(x))
        torch.testing.assert_close(pickle.loads(pickle.dumps(small))(x), small(x))
        torch.testing.assert_close(copy.deepcopy(small)(x), small(x))
        other[0].codes = other[0].codes[:-1]
        other[0]._product = None
        with self.assertRaisesRegex(cq.CQError, "codes"):
            other(x)

    def test_state_dicts_of_tensors(self):
        tensors = {"a.weight": torch.randn(32, 64, dtype=torch.bfloat16), "a.bias": torch.randn(32),
                   "b.weight": torch.randn(16, 64, dtype=torch.float64).t().contiguous().t().requires_grad_()}
        model = cq.quantize(tensors, "b4-g64")
        self.assertEqual(set(model.packed), {"a.weight", "b.weight"})
        self.assertIs(model.others["a.bias"], tensors["a.bias"])

    def test_errors(self):
        packed = cq.torch.Linear.from_float(torch.nn.Linear(64, 32), "b4-g64")
        for x, error, word in ((torch.randn(4, 63), ValueError, "64"), (torch.tensor(1.0), ValueError, "64"),
                               (torch.ones(4, 64, dtype=torch.int32), TypeError, "int32"),
                               (torch.full((4, 64), float("nan")), ValueError, "NaN")):
            with self.assertRaisesRegex(error, word):
                packed(x)
        with self.assertRaisesRegex(ValueError, "no torch.nn.Linear"):
            cq.torch.quantize_linears(torch.nn.ReLU())


if __name__ == "__main__":
    unittest.main()
