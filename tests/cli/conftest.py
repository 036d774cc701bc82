"""The command line in this process, as the installed program runs it; and a run to use it on."""

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import vae_jax
from vae_jax.cli import main

from .feed import HYPER, write_idx

SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def error(self):
        """The error, which must be one line and nothing else."""
        assert self.status != 0, self
        assert self.err.startswith("error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.rstrip("\n")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "vae_jax"


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path, cache):
    """A cache and a working folder of its own, and the settings of JAX as they were."""
    monkeypatch.setenv("VAE_JAX_CACHE", str(cache))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def run_main(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["vae-jax", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    return Outcome(0 if code is None else code, *capsys.readouterr())


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs ``vae-jax`` with some arguments."""
    return lambda *arguments: run_main(monkeypatch, capsys, arguments)


@pytest.fixture
def succeed(cli):
    """Runs ``vae-jax``, which must not fail."""

    def run(*arguments):
        outcome = cli(*arguments)
        assert outcome.status == 0, outcome.err
        return outcome

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data source of 22 images, in a folder with an awkward name."""
    return f"idx:{write_idx(tmp_path_factory.mktemp('data') / 'Ziffern für später')}"


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory, cache):
    """A run folder of ``vae-jax train``; read only."""
    from vae_jax.cli import main

    out = tmp_path_factory.mktemp("runs") / "mein Lauf №1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_JAX_CACHE", str(cache))
        recipe = ["--data", data, "--epochs", "2", "--batch-size", "8"]
        patch.setattr(
            sys, "argv", ["vae-jax", "train", "digits_ae", *recipe, *HYPER, "--out", str(out)]
        )
        before = {name: getattr(jax.config, name) for name in SETTINGS}
        with pytest.raises(SystemExit) as ended:
            main()
        for name, value in before.items():
            jax.config.update(name, value)
    assert not ended.value.code
    return out


@pytest.fixture(scope="session")
def digits_file():
    """The checkpoint that PyTorch wrote and the package ships."""
    return Path(vae_jax.__file__).parent / "assets" / "AEdigits.pt"


@pytest.fixture
def contents():
    """Every file below a folder with its bytes."""

    def read(folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
