"""What the README shows is what the package does."""

import pathlib
import re

import numpy as np
import pytest

import vae_jax
from vae_jax.cli.models import markdown_table

ROOT = pathlib.Path(__file__).parents[1]


def test_the_readmes_table_is_the_table_of_models():
    text = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- vae-jax models --markdown -->\n(.*?)\n<!-- end -->", text, re.S)
    assert found
    assert found[1] == markdown_table(vae_jax.MODELS)


@pytest.mark.slow
def test_the_readmes_import_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    blocks = [block for block in blocks if "paddle.load" not in block]
    hyper = {"channels": 2}
    tensors = vae_jax.export_weights("digits_vae", _variables("digits_vae", **hyper), **hyper)
    vae_jax.write_checkpoint(tmp_path / "VAE.safetensors", tensors)
    monkeypatch.chdir(tmp_path)
    code = blocks[0].replace("VAEglasses.pth", "VAE.safetensors")
    names = {"images": np.zeros((2, 28, 28, 1), np.uint8)}
    exec(code, names)
    assert names["pictures"].shape == (2, 28, 28, 1)
    assert names["samples"].shape == (16, 28, 28, 1)
    exec("import vae_jax\n" + blocks[1], names)


def _variables(name, **hyper):
    import jax

    from vae_jax.training.state import init_variables

    return init_variables(vae_jax.create_model(name, **hyper), jax.random.key(0))
