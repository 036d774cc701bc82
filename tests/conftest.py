"""Strict JAX for every test: no silent promotion, eight virtual devices, warnings are errors."""

import atexit
import os
import shutil
import tempfile

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
    " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # What one worker has compiled the others need not; they inherit this from the main process.
    _cache = tempfile.mkdtemp(prefix="xla-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)

import jax
from jaxtyping import install_import_hook

collect_ignore = ["conftest.py"]  # by doctest: there is another module of this name

install_import_hook("vae_jax", "beartype.beartype")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
