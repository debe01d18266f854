# RUN: %with_cq %python %s
# REQUIRES: numpy
import dataclasses
import json
import os
import tempfile
import unittest

import cq
import numpy as np

CHOICES = ["b2-g64", "b3-g64", "b4-g64", "b8-g64"]


def state(seed=0):
    random = np.random.default_rng(seed)
    return {
        "model.embed_tokens.weight": random.standard_normal((96, 128), dtype=np.float32),
        "layers.0.q.weight": random.standard_normal((64, 128), dtype=np.float32) ** 5,
        "layers.0.k.weight": random.standard_normal((64, 128)),
        "layers.0.norm.weight": np.ones(128, np.float32),
        "layers.1.q.weight": random.standard_normal((64, 128)).astype(np.float16),
        "ids": np.arange(12).reshape(3, 4),
    }


class StateDicts(unittest.TestCase):
    def test_budget(self):
        weights = state()
        for bpw in (2.5, 3.3, 4.0):
            model = cq.quantize(weights, bpw=bpw, choices=CHOICES)
            decided = [e for e in model.plan.entries if e.weight.startswith("layers")]
            spent = 8 * sum(sum(cq.plane_sizes(e.shape, e.choice).values()) for e in decided)
            self.assertLessEqual(spent, bpw * sum(e.shape[0] * e.shape[1] for e in decided))
            self.assertEqual(model.packed["model.embed_tokens.weight"].choice, "b8-g64-symmetric-f16")
            self.assertEqual(set(model), set(weights))
            self.assertEqual(set(model.others), {"layers.0.norm.weight", "ids"})
            self.assertIs(model["ids"], weights["ids"])
            for entry in model.plan.entries:
                packed = model.packed[entry.weight]
                expected = cq.quantize(weights[entry.weight], entry.choice).dequantize()
                np.testing.assert_array_equal(packed.dequantize(), expected)
                np.testing.assert_array_equal(model.dequantize()[entry.weight], expected)

    def test_uniform_keep_and_plan(self):
        weights = state()
        model = cq.quantize(weights, "b3-g64/mse", keep=[r"\.0\.k\."])
        self.assertEqual({e.weight: e.choice for e in model.plan.entries}, {
            "model.embed_tokens.weight": "b8-g64-symmetric-f16/rtn", "layers.0.q.weight": "b3-g64-symmetric-f16/mse",
            "layers.0.k.weight": "keep", "layers.1.q.weight": "b3-g64-symmetric-f16/mse"})
        self.assertIs(model["layers.0.k.weight"], weights["layers.0.k.weight"])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "plan.json")
            model.plan.save(path)
            again = cq.quantize(weights, plan=path)
            self.assertEqual(again.plan, cq.Plan.load(path))
        for name, packed in model.packed.items():
            np.testing.assert_array_equal(packed.planes["codes"], again.packed[name].planes["codes"])
        self.assertAlmostEqual(again.bits_per_weight, model.plan.bits_per_weight)

    def test_hostile(self):
        weights = state()
        weights["layers.1.q.weight"][5, 6] = np.nan
        with self.assertRaisesRegex(ValueError, r"layers.1.q.weight.*\(5, 6\)"):
            cq.quantize(weights, bpw=3.3, choices=CHOICES)
        with self.assertRaisesRegex(ValueError, "no floating-point matrix"):
            cq.quantize({})
        with self.assertRaisesRegex(ValueError, "no floating-point matrix"):
            cq.quantize({"a": np.ones(5), "b": "text", "c": None})
        with self.assertRaises(TypeError):
            cq.quantize({5: np.ones((4, 4))})
        with self.assertRaisesRegex(ValueError, "shape"):
            cq.quantize({"w": np.ones((4, 4))}, plan=cq.Plan([cq.PlanEntry("w", (4, 5))]))
        with self.assertRaisesRegex(cq.CQError, "/no/such/file"):
            cq.quantize("/no/such/file")
        with self.assertRaises(FileNotFoundError):
            cq.quantize({"w": np.ones((4, 4))}, plan="/no/such/plan.json")
        with self.assertRaises(ValueError):
            cq.quantize({"w": np.ones((4, 4))}, column_weights=np.ones(4))

    def test_one_array_for_a_budget(self):
        q = cq.quantize(state()["layers.0.q.weight"], bpw=3.6)
        self.assertLessEqual(q.bits_per_weight, 3.6)


class Plans(unittest.TestCase):
    def setUp(self):
        self.measured = cq.Measurements()
        for name, weight in state().items():
            if name.startswith("layers") and weight.ndim == 2:
                self.measured.add(name, weight, CHOICES)

    def test_solve_edit_save_load(self):
        plan = cq.Plan.solve(self.measured, bpw=3.3, curve=4)
        self.assertEqual(plan.decision["method"], "exact")
        self.assertGreaterEqual(plan.decision["predicted_loss"], plan.decision["bound"] - 1e-9)
        self.assertGreater(len(plan.entries[0].candidates), 1)
        self.assertLessEqual(plan.bits_per_weight, 3.3)
        entry = plan["layers.0.k.weight"]
        entry.scheme, entry.cherries = "b4-g128", cq.Cherries("element", 8)
        entry.wide_rows, entry.candidates, plan.decision = cq.WideRows(16, 5), [], None
        self.assertEqual(entry.choice, "b4-g128+rows=16/64:b5/rtn/element8-quant-error")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "plan.json")
            plan.save(path)
            loaded = cq.Plan.load(path)
        entry.scheme = "b4-g128-symmetric-f16"
        self.assertEqual(loaded, plan)
        other = loaded.with_choice("layers.0.k.weight", "keep")
        self.assertTrue(other["layers.0.k.weight"].keep)
        self.assertFalse(loaded["layers.0.k.weight"].keep)
        self.assertEqual(other.totals["kept_weights"], 64 * 128)
        self.assertTrue(dataclasses.is_dataclass(other))
        with self.assertRaises(KeyError):
            other["none"]

    def test_options(self):
        pinned = cq.Plan.solve(self.measured, bpw=5, override={r"0\.q": "b2-g64"}, keep=[r"0\.k"], ceiling={"1": 4})
        self.assertTrue(pinned["layers.0.q.weight"].choice.startswith("b2"))
        self.assertTrue(pinned["layers.0.k.weight"].keep)
        self.assertLessEqual(int(pinned["layers.1.q.weight"].scheme[1]), 4)
        sized = cq.Plan.solve(self.measured, size=12000)
        self.assertLessEqual(sized.totals["bytes"], 12000)

    def test_measurements_are_text(self):
        again = cq.Measurements.parse(self.measured.text())
        self.assertEqual(cq.Plan.solve(again, bpw=3.3), cq.Plan.solve(self.measured, bpw=3.3))
        self.assertLess(again.loss("layers.0.q.weight", "b4-g64"), again.loss("layers.0.q.weight", "b2-g64"))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "losses.jsonl")
            self.measured.save(path)
            self.assertEqual(os.listdir(folder), ["losses.jsonl"])
            self.assertEqual(cq.Measurements.load(path).text(), self.measured.text())
        for call, word in ((lambda: again.loss("none", "b4-g64"), "none"), (lambda: again.loss("a", "b9"), "b9"),
                           (lambda: again.add("a", np.ones((4, 4))), "read"),
                           (lambda: cq.Measurements.parse("{}"), ""), (lambda: cq.Measurements("guess"), "guess"),
                           (lambda: cq.Measurements("fisher"), "statistics"),
                           (lambda: cq.Statistics("/no/such/file"), "/no/such/file")):
            with self.assertRaisesRegex(cq.CQError, word):
                call()

    def test_hostile_plans(self):
        good = json.loads(cq.Plan.solve(self.measured, bpw=3.3).to_json())

        def edited(**fields):
            return json.dumps(dict(good, weights=[dict(good["weights"][0], **fields)]))

        for text in ("", "[]", "{}", '{"cq_plan": 99, "weights": []}', '{"cq_plan": 3}', edited(scheme="b9-g64"),
                     edited(shape=[2**31, 2**31]), edited(shape=[0, 5]), edited(shape=[1]), edited(schema="b3-g64"),
                     edited(cherries={"form": "element", "count": 10**6, "criterion": "magnitude"}),
                     edited(wide_rows={"count": 10**6, "bits": 8}), "[" * 100000):
            with self.assertRaises(cq.CQError, msg=text[:80]):
                cq.Plan.parse(text)
        for entry in (cq.PlanEntry("w", (4, 4), scheme="b1"), cq.PlanEntry("w", (0, 4)), cq.PlanEntry("", (4,)),
                      cq.PlanEntry("w", (64, 64), wide_rows=cq.WideRows(5, 8))):
            with self.assertRaises(cq.CQError, msg=str(entry)):
                cq.Plan([entry]).to_json()
        with self.assertRaises(ValueError):
            cq.Plan.solve(self.measured)
        with self.assertRaises(ValueError):
            cq.Plan.solve(self.measured, bpw=3, size=5)


if __name__ == "__main__":
    unittest.main()
