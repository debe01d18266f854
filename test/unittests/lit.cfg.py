# The GoogleTest programs of the build folder.
import os

import lit.formats

config.name = "CQ-Unit"
config.test_format = lit.formats.GoogleTest("", "Tests")
config.suffixes = []
config.test_source_root = os.path.join(config.cq_obj_root, "test", "unittests")
config.test_exec_root = config.test_source_root
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "HOME", "XDG_CACHE_HOME", "CQ_CACHE_DIR", "CQ_SMOLLM2_GGUF"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.environment["CQ_SHARED_DIR"] = config.cq_shared_dir
config.environment["CQ_BIN_DIR"] = config.cq_tools_dir
