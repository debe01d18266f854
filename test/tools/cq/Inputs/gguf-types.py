# usage: gguf-types.py FILE. Writes a GGUF file with a tensor of random bytes for
# each type that the gguf package dequantizes; prints lines as `cq inspect --digests`.
import hashlib
import sys

import gguf
import numpy
from gguf import GGMLQuantizationType, quants

numpy.seterr(all="ignore")
random = numpy.random.default_rng(7)
writer = gguf.GGUFWriter(sys.argv[1], "llama")
for kind in GGMLQuantizationType:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    if elements == 1:
        continue
    while True:
        data = random.integers(0, 256, (3, 5 * size), dtype=numpy.uint8)
        try:
            values = quants.dequantize(data, kind)
        except NotImplementedError:
            break
        # A random f16 scale may be no number; its payload is nobody's business.
        if numpy.isfinite(values).all():
            writer.add_tensor(kind.name, data, raw_dtype=kind)
            print(f"{hashlib.sha256(values.tobytes()).hexdigest()}  {kind.name}")
            break
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
