"""Tokenizers made and compared with PyPI's package.

tokenizer-export.py make FOLDER KIND      a small checkpoint with a tokenizer.json of that kind
tokenizer-export.py compare FOLDER OTHER  whether two tokenizer.json give the same ids and texts"""
import json
import os
import runpy
import sys

import numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
TEXT = ["Once upon a time there was a little girl named Lily who didn't like 1234 apples.",
        "The quick brown fox; it's over there, and we'll see 42 of them.\n\nÜber naïve Zoë: 日本語 😀",
        "def f(x):\n    return x  # comment\t\tend   "] * 3
SAMPLES = TEXT[:3] + ["", " ", "  two  spaces ", "a<|im_end|>b", "<s>x</s>", "\x00\x01", "é" * 5, "They'RE 99999!!!\r\n\r\n x"]


def make(folder, kind):
    checkpoints = runpy.run_path(os.path.join(here, "checkpoints.py"))
    layers = checkpoints["layers"].__globals__
    layers.update(WIDTH=64, HIDDEN=64, BLOCKS=1, HEADS=2, KV=1, VOCABULARY=640)
    random = numpy.random.default_rng(1)
    tensors = checkpoints["others"](random, "float32")
    for name, n, k in checkpoints["layers"]():
        tensors[name + ".weight"] = random.normal(0, 1, (n, k)).astype("float32")
    checkpoints["save"](folder, tensors)
    special = ["<s>", "</s>", "<unk>"] if kind == "sentencepiece" else ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    if kind == "sentencepiece":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                               decoders.Strip(" ", 1, 0)])
        tokenizer.train_from_iterator([t.replace(" ", "▁") for t in TEXT], trainers.BpeTrainer(
            vocab_size=330, special_tokens=special, show_progress=False))
        # Bytes are tokens of the model, as in Llama 2.
        state = json.loads(tokenizer.to_str())
        vocabulary = state["model"]["vocab"]
        for byte in range(256):
            vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
        tokenizer = Tokenizer.from_str(json.dumps(state))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])])
    else:
        tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
        first = {"gpt2": [], "smollm": [pre_tokenizers.Digits(individual_digits=True)],
                 "llama3": [pre_tokenizers.Split(Regex(LLAMA3), "isolated")]}[kind]
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind != "llama3")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(first + [last]) if first else last
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_tokens([AddedToken("<user>", normalized=False)])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"eos_token": special[1], "bos_token": special[0]}, file)


def compare(one, two):
    a, b = (Tokenizer.from_file(os.path.join(folder, "tokenizer.json")) for folder in (one, two))
    assert a.get_vocab_size() == b.get_vocab_size(), (a.get_vocab_size(), b.get_vocab_size())
    for text in SAMPLES:
        x, y = a.encode(text), b.encode(text)
        assert x.ids == y.ids, (text, x.tokens, y.tokens)
        assert a.decode(x.ids, skip_special_tokens=False) == b.decode(x.ids, skip_special_tokens=False), text
    print(len(SAMPLES), "texts have the same tokens")


{"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
