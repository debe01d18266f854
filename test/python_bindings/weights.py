# RUN: %with_cq %python %s
# REQUIRES: numpy
import threading
import unittest

import cq
import numpy as np


def matrix(n=48, k=576, seed=0):
    return np.random.default_rng(seed).standard_normal((n, k), dtype=np.float32)


class Weights(unittest.TestCase):
    def test_errors_are_bounded_and_bytes_counted(self):
        for n, k in ((16, 64), (33, 172), (5, 576), (1, 1)):
            w = matrix(n, k)
            for choice in ("b2-g32-half-step-f16", "b3-g64", "b8-row-symmetric-f32/mse", "b4-g128-affine-bf16"):
                q = cq.quantize(w, choice)
                self.assertEqual(q.shape, (n, k))
                # No level is further than a few steps from a weight.
                self.assertLess(np.abs(q.dequantize() - w).max(), 3 * np.abs(w).max() / 2 ** (int(choice[1]) - 1))
                planes = q.planes
                self.assertAlmostEqual(q.bits_per_weight, 8 * sum(p.size for p in planes.values()) / w.size)
                self.assertEqual({name: p.size for name, p in planes.items()}, cq.plane_sizes((n, k), choice))
                self.assertEqual(planes["zeros"].size > 0, "affine" in choice)

    def test_planes_go_out_and_in(self):
        w = matrix()
        for choice in ("b3-g64", "b3-g128+rows=1/3:b4/mse/slot1-magnitude", "b4-g32-affine/element8-quant-error"):
            q = cq.quantize(w, choice)
            again = cq.QuantizedWeight.from_planes(q.planes, q.shape, q.choice)
            linear = again.relayout("linear")
            self.assertEqual((q.layout, linear.layout), ("panel16", "linear"))
            for other in (again, linear):
                np.testing.assert_array_equal(other.dequantize(), q.dequantize())
            self.assertEqual(linear.choice, q.choice)
        planes = q.planes
        planes["codes"] = planes["codes"][:-1]
        with self.assertRaisesRegex(cq.CQError, "codes"):
            cq.QuantizedWeight.from_planes(planes, q.shape, q.choice)
        with self.assertRaisesRegex(ValueError, "cods"):
            cq.QuantizedWeight.from_planes({"cods": planes["codes"]}, q.shape, q.choice)
        with self.assertRaisesRegex(TypeError, "uint8"):
            cq.QuantizedWeight.from_planes({"codes": planes["codes"].view(np.int8)}, q.shape, q.choice)
        with self.assertRaises(ValueError):
            cq.QuantizedWeight.from_planes(planes, (0, 5), q.choice)

    def test_cherries_keep_what_matters(self):
        w = matrix(16, 512)
        w[3, 70] = 40
        plain = cq.quantize(w, "b3-g64-symmetric-f16")
        cherry = cq.quantize(w, "b3-g64", cherry_form="slot")
        self.assertLess(np.abs(cherry.dequantize() - w)[3].max(), np.abs(plain.dequantize() - w)[3].max())
        self.assertAlmostEqual(cherry.dequantize()[3, 70], 40, delta=0.02)
        self.assertEqual(cherry.choice, "b3-g64-symmetric-f16/slot1-magnitude")

    def test_statistics_as_arrays(self):
        w = matrix(32, 128)
        x = np.random.default_rng(1).standard_normal((1000, 128)) @ np.random.default_rng(2).standard_normal((128, 128))
        gram = x.T @ x
        error = {}
        for name, given in {"rtn": {}, "mse": dict(column_weights=np.diag(gram)),
                            "gptq": dict(second_moments=gram)}.items():
            d = cq.quantize(w, "b3-g64", quantizer=name, **given).dequantize() - w
            error[name] = np.sum((d @ gram) * d)
        self.assertLess(error["gptq"], 0.8 * error["mse"])
        self.assertLess(error["mse"], error["rtn"])
        packed = cq.quantize(w, "b3-g64/gptq", second_moments=gram[np.triu_indices(128)])
        np.testing.assert_array_equal(packed.planes["codes"],
                                      cq.quantize(w, "b3-g64/gptq", second_moments=gram).planes["codes"])

    def test_any_floating_array(self):
        w = matrix(64, 96)
        expected = cq.quantize(w).dequantize()
        for other in (w.astype(np.float64), np.asfortranarray(w), w.T.copy().T, np.repeat(w, 2, axis=0)[::2],
                      w[:, ::-1].copy()[:, ::-1], w.astype(">f4"), w.tolist()):
            np.testing.assert_array_equal(cq.quantize(other).dequantize(), expected)

    def test_hostile_arrays(self):
        w = matrix(4, 64)
        bad = w.copy()
        for value in (np.nan, np.inf, -np.inf):
            bad[2, 5] = value
            with self.assertRaisesRegex(ValueError, r"\(2, 5\)"):
                cq.quantize(bad)
        huge = w.astype(np.float64)
        huge[0, 0] = 1e300
        for value, error, word in (
            (huge, ValueError, "infinity"), (w.astype(np.int32), TypeError, "int32"),
            (w.astype(complex), TypeError, "complex"), (w > 0, TypeError, "bool"),
            (np.array([["a"]]), TypeError, "U1"), (np.array([[None]]), TypeError, "object"),
            (w[0], ValueError, "two dimensions"), (w[None], ValueError, "two dimensions"),
            (np.empty((0, 5), np.float32), ValueError, "empty"), (np.empty((5, 0), np.float32), ValueError, "empty"),
            (None, (TypeError, ValueError), ""), (3.5, ValueError, "dimensions"), ([], ValueError, "dimensions"),
        ):
            with self.assertRaisesRegex(error, word):
                cq.quantize(value)

    def test_hostile_options(self):
        w = matrix(16, 64)
        for arguments, error, word in (
            (dict(choice="b9-g64"), cq.CQError, "b9"), (dict(choice="b3\0-g64"), ValueError, "zero byte"),
            (dict(choice=3), TypeError, ""), (dict(quantizer="magic"), cq.CQError, "magic"),
            (dict(cherry_form="slot", cherry_ratio=2.0), cq.CQError, "share"),
            (dict(cherry_form="slice"), cq.CQError, "slice"), (dict(layout="x"), cq.CQError, "layout"),
            (dict(choice="b3-g64", bpw=3), ValueError, "one of"), (dict(choice="keep"), cq.CQError, "kept"),
            (dict(choice="b3-g64/gptq"), cq.CQError, "second moments"),
            (dict(column_weights=np.ones(63, np.float32)), ValueError, "63"),
            (dict(column_weights=-np.ones(64, np.float32)), ValueError, "negative"),
            (dict(fisher=np.ones((64, 16))), ValueError, "shape"),
            (dict(second_moments=np.ones(64)), ValueError, "second_moments"),
            (dict(second_moments=np.full((64, 64), np.nan)), ValueError, "NaN"),
            (dict(threads=-1), ValueError, "threads"), (dict(output="/tmp/x"), ValueError, "output"),
            (dict(bpw=float("nan")), cq.CQError, "budget"), (dict(bpw=0.5), cq.CQError, "reachable"),
        ):
            with self.assertRaisesRegex(error, word, msg=str(arguments)):
                cq.quantize(w, **arguments)

    def test_outputs(self):
        q = cq.quantize(matrix(8, 64))
        out = np.empty((8, 64), np.float32)
        self.assertIs(q.dequantize(out), out)
        for bad, error in ((np.empty((8, 64)), TypeError), (np.empty((64, 8), np.float32), ValueError),
                           (np.empty((8, 128), np.float32)[:, ::2], ValueError)):
            with self.assertRaises(error):
                q.dequantize(bad)
        out.flags.writeable = False
        with self.assertRaises(ValueError):
            q.dequantize(out)

    def test_threads_have_their_own_errors(self):
        seen = {}

        def work(bits):
            for _ in range(20):
                try:
                    cq.quantize(matrix(16, 64), f"b{bits}-g64")
                except cq.CQError as error:
                    seen.setdefault(bits, set()).add(str(error))

        threads = [threading.Thread(target=work, args=(bits,)) for bits in (3, 7, 9, 11)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertNotIn(3, seen)
        for bits in (7, 9, 11):
            self.assertEqual(len(seen[bits]), 1)
            self.assertIn(f"b{bits}", next(iter(seen[bits])))


class Products(unittest.TestCase):
    def test_products(self):
        with open("/proc/cpuinfo") as file:
            if "avx2" not in file.read():
                self.skipTest("no AVX2")
        q = cq.quantize(matrix(33, 300), "b4-g64/slot1-magnitude", layout="linear")
        exact, rounded = cq.Product(q), cq.Product(q, "int8")
        for m in (1, 5, 70):
            x = matrix(m, 300, seed=m)
            expected = x @ q.dequantize().T
            np.testing.assert_allclose(exact(x), expected, atol=1e-4, rtol=1e-4)
            self.assertLess(np.linalg.norm(rounded(x) - expected), 0.02 * np.linalg.norm(expected))
        np.testing.assert_array_equal(exact(np.asfortranarray(x)), exact(x))
        for bad, error in ((x[:, :-1], ValueError), (x[0], ValueError), (x.astype(int), TypeError),
                           (x * np.nan, ValueError)):
            with self.assertRaises(error):
                exact(bad)
        with self.assertRaisesRegex(cq.CQError, "int4"):
            cq.Product(q, "int4")


if __name__ == "__main__":
    unittest.main()
