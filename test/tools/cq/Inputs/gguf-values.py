# usage: gguf-values.py FILE.gguf GPTQ.safetensors checkpoints.py. Compares linear layers of
# two exports of one model through the packages gguf and safetensors.
import os
import runpy
import sys

import gguf
import numpy
import safetensors.numpy
from gguf import quants

path = sys.argv[1:]
reader = gguf.GGUFReader(path[0])
tensors = safetensors.numpy.load_file(path[1])
helper = runpy.run_path(path[2])
values = helper["decode"](os.path.dirname(path[1]))
names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj"}
heads = {"attn_q": helper["HEADS"], "attn_k": helper["KV"]}
equal = total = 0
for tensor in reader.tensors:
    if not tensor.name.startswith("blk.") or "norm" in tensor.name:
        continue
    block, role = tensor.name.split(".")[1:3]
    got = quants.dequantize(tensor.data, tensor.tensor_type)
    want = values[f"model.layers.{block}.{names[role]}.weight"]
    assert f"model.layers.{block}.{names[role]}.qweight" in tensors
    if role in heads:  # as LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py
        want = want.reshape(heads[role], 2, -1, want.shape[1]).swapaxes(1, 2).reshape(want.shape)
    total += 1
    equal += numpy.array_equal(got, want)
print(f"{equal} of {total} equal")
field = lambda name: reader.get_field(name).contents()
print(field("general.architecture"), field("llama.block_count"), field("llama.attention.head_count"),
      field("llama.attention.head_count_kv"))
