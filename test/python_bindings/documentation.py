# The examples of docs/Python.md, as they stand there.
#
# RUN: rm -rf %t && mkdir -p %t && cp %shared/data/stories260K.bin %shared/data/stories260K.tokenizer.bin %t
# RUN: cd %t && %with_cq CQ_CACHE_DIR=%t/cache %torch_python %s %cq_src_root/docs/Python.md
# REQUIRES: torch, shared-data, avx2
import doctest
import sys

failed, run = doctest.testfile(sys.argv[1], module_relative=False)
sys.exit(failed != 0 or run < 30)
