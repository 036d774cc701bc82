"""The core needs only JAX, Flax, Optax and NumPy; plain data and the command line load no JAX."""

import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "paddle",
    "tensorflow",
    "tensorflow_datasets",
    "matplotlib",
    "mlxtend",
    "orbax",
    "click",
    "PIL",
    "tqdm",
    "jaxtyping",
]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.slow
def test_the_public_interface_works_where_nothing_else_is_installed():
    code = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # importing it raises ImportError
import jax, jax.numpy as jnp, vae_jax
for name in set(vae_jax.__all__) - {{"train"}}:  # which writes checkpoints with Orbax
    getattr(vae_jax, name)
model = vae_jax.create_model("digits_ae")
x = jnp.zeros((2, 28, 28, 1))
variables = model.init(jax.random.key(0), x)
tensors = vae_jax.export_weights("digits_ae", variables)
vae_jax.import_weights("digits_ae", tensors)
loss = vae_jax.make_loss("digits_ae")
print(loss(variables["params"], {{}}, {{"image": x}}, None)[0].shape)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "()"


def test_what_must_start_at_once_does_not_load_jax():
    names = ["", ".typing", ".errors", ".recipe", ".spec", ".cli", ".data"]
    done = run(
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module('vae_jax' + name)\n"
        "    assert 'jax' not in sys.modules, name"
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import vae_jax

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vae_jax.nothing
    assert set(vae_jax.__all__) <= set(dir(vae_jax))


def test_a_missing_package_names_the_extra_to_install():
    done = run(
        "import sys; sys.modules['torch'] = None\n"
        "from vae_jax.errors import MissingExtraError\n"
        "try:\n    import vae_jax.parity.backends.pytorch\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    assert "needs PyTorch, which is not installed: pip install 'vae-jax[torch]'" in done.stdout
