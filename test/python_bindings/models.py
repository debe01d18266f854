# RUN: rm -rf %t && mkdir -p %t
# RUN: %with_cq CQ_CACHE_DIR=%t/cache \
# RUN:   %python %s %shared/data %t
# REQUIRES: numpy, shared-data, avx2
import os
import subprocess
import sys
import unittest

import cq
import numpy as np

DATA, OUT = sys.argv[1:3]
CHECKPOINT = os.path.join(DATA, "stories260K.bin")
TOKENIZER = os.path.join(DATA, "stories260K.tokenizer.bin")
MODULE = os.path.join(OUT, "m.mlir")


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cq.import_model(CHECKPOINT, MODULE, tokenizer=TOKENIZER)
        cls.plan = cq.quantize(MODULE, bpw=4.0, choices=["b3-g64", "b4-g64", "b8-g64"],
                               output=os.path.join(OUT, "small"))
        cls.model = cq.load(os.path.join(OUT, "small"))

    def test_budget(self):
        self.assertLessEqual(self.plan.decision["bytes"], self.plan.decision["budget"])
        self.assertIsInstance(self.plan.entries[0].candidates[0].loss, float)

    def test_generates_what_the_tool_does(self):
        seen = []
        answer = self.model.generate("Once upon a time", max_tokens=20, temperature=0.7, seed=3, on_token=seen.append)
        # A sanitizer that Python was started with is in the tool already.
        env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        tool = subprocess.run(["cq", "run", os.path.join(OUT, "small"), "--prompt=Once upon a time", "--max-tokens=20",
                               "--temperature=0.7", "--seed=3"], check=True, capture_output=True, text=True,
                              env=env).stdout
        self.assertEqual(answer, tool.rstrip("\n"))
        self.assertEqual(len(seen), 20)

        def stop(token):
            raise KeyError(token)

        with self.assertRaises(KeyError):
            self.model.generate("Once", on_token=stop)

    def test_logits_and_perplexity(self):
        ids = self.model.encode("Once upon a time, there was a little girl named Lily. She liked to play.")
        self.assertIn("little girl", self.model.decode(ids))
        self.model.reset()
        logits = self.model.logits(ids)
        self.assertEqual(logits.shape, (len(ids), self.model.vocabulary))
        self.assertEqual(self.model.position, len(ids))
        rows = logits.astype(np.float64)[:-1]
        nll = np.log(np.exp(rows - rows.max(1, keepdims=True)).sum(1)) + rows.max(1) - rows[np.arange(len(ids) - 1), ids[1:]]
        self.assertAlmostEqual(self.model.perplexity(ids, window=len(ids)), np.exp(nll.mean()), places=3)
        self.assertLess(self.model.perplexity(ids, window=len(ids)), 20)

    def test_checkpoint(self):
        checkpoint = cq.Checkpoint(CHECKPOINT)
        name = next(iter(checkpoint))
        self.assertEqual(checkpoint[name].shape, checkpoint.shape(name))
        self.assertEqual(checkpoint.type(name), "F32")
        with self.assertRaises(KeyError):
            checkpoint["none"]
        quantized = cq.quantize(CHECKPOINT, "b4-g32")
        self.assertEqual(set(quantized), set(checkpoint))
        matrices = [n for n in checkpoint if len(checkpoint.shape(n)) == 2]
        self.assertEqual(set(quantized.packed), set(matrices))

    def test_compile(self):
        library = os.path.join(OUT, "libsmall.so")
        cq.compile_model(os.path.join(OUT, "small"), library)
        self.assertTrue(os.path.exists(library) and os.path.exists(os.path.join(OUT, "libsmall.h")))

    def test_uniform_folder_and_plan(self):
        one, two = os.path.join(OUT, "one"), os.path.join(OUT, "two")
        plan = cq.quantize(MODULE, "b4-g32/mse", output=one)
        plan = plan.with_choice(plan.entries[-1].weight, "b8-g64")
        cq.quantize(MODULE, plan=plan, output=two)
        self.assertEqual(cq.Plan.load(os.path.join(two, "plan.json"))[plan.entries[-1].weight].scheme,
                         "b8-g64-symmetric-f16")
        with self.assertRaisesRegex(cq.CQError, "exists"):
            cq.quantize(MODULE, "b4-g32", output=one)
        cq.quantize(MODULE, "b2-g32", output=one, force=True)
        self.assertEqual(sorted(os.listdir(one)), ["model.mlir", "model.safetensors", "plan.json", "tokenizer.gguf"])

    def test_arguments_count_with_output(self):
        out = os.path.join(OUT, "arguments")
        plan = cq.quantize(MODULE, "b3-g32-symmetric-f32", output=out, quantizer="mse", cherry_form="element",
                           cherry_ratio=1 / 32, criterion="magnitude", outer_choice="b6-g32-symmetric-f16", force=True)
        inner = [entry for entry in plan.entries if not entry.keep and "token_embd" not in entry.weight]
        self.assertTrue(inner)
        for entry in inner:
            self.assertTrue(entry.choice.startswith("b3-g32-symmetric-f32/mse/element"), entry.choice)
            self.assertTrue(entry.choice.endswith("-magnitude"), entry.choice)
        self.assertEqual(plan["token_embd.weight"].scheme, "b6-g32-symmetric-f16")
        for arguments in (dict(layout="linear"), dict(outer="q"), dict(threads=2), dict(name="w"),
                          dict(fisher=[[1.0]]), dict(column_weights=[1.0]), dict(second_moments=[1.0])):
            with self.assertRaisesRegex(ValueError, next(iter(arguments)), msg=str(arguments)):
                cq.quantize(MODULE, "b3-g32", output=out, **arguments)
        for arguments in (dict(quantizer="mse"), dict(cherry_form="slot"), dict(cherry_ratio=0.1),
                          dict(criterion="magnitude")):
            with self.assertRaisesRegex(ValueError, next(iter(arguments)), msg=str(arguments)):
                cq.quantize(MODULE, bpw=4.0, output=out, **arguments)
        for arguments in (dict(choice="b3-g32/mse", quantizer="rtn"), dict(choice="b3-g32/slot1-magnitude"),
                          dict(choice="b3-g32", outer_choice="b8-g32/mse"), dict(plan=plan, outer_choice="b6-g32")):
            with self.assertRaises(ValueError, msg=str(arguments)):
                cq.quantize(MODULE, output=out, **arguments)

    def test_errors(self):
        for call, error, word in (
            (lambda: cq.load("/no/such/folder"), cq.CQError, "/no/such/folder"),
            (lambda: cq.load(MODULE, "int4"), cq.CQError, "int4"),
            (lambda: cq.import_model("/no/such/file", MODULE), cq.CQError, "/no/such/file"),
            (lambda: cq.import_model(CHECKPOINT, MODULE, context=-1), cq.CQError, "positions"),
            (lambda: self.model.generate("Once", max_tokens=0), cq.CQError, "max_tokens"),
            (lambda: self.model.generate("Once", temperature=float("nan")), cq.CQError, "temperature"),
            (lambda: self.model.generate("Hi", chat=True), cq.CQError, "chat"),
            (lambda: self.model.generate(5), (TypeError, AttributeError), ""),
            (lambda: self.model.logits([10**6]), cq.CQError, "vocabulary"),
            (lambda: self.model.logits([]), ValueError, "room"),
            (lambda: self.model.logits([0.5]), TypeError, "integers"),
            (lambda: self.model.decode([-1]), ValueError, "0 to"),
            (lambda: self.model.perplexity([1, 2], window=3), cq.CQError, "window"),
            (lambda: cq.quantize(MODULE, bpw=float("inf"), output=OUT + "/x"), ValueError, "positive"),
            (lambda: cq.quantize(MODULE, "b3-g64", output=OUT + "/x{y"), cq.CQError, "braces"),
        ):
            with self.assertRaisesRegex(error, word):
                call()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
