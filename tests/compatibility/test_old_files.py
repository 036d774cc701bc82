r"""Files that revision 46ea417 wrote still load, to the same numbers.

    vae-jax train digits_ae --data idx:data --epochs 1 --batch-size 4 --hyper hidden_size=1 \
        --hyper latent_size=1 --corrupt gaussian:0.25 --learning-rate 0.01 --seed 8 --keep 1 \
        --out run
    vae-jax train conv_vae --data idx:data --epochs 1 --batch-size 4 --hyper widths=2,2 \
        --hyper latent_size=2 --hyper batch_norm=true --seed 5 --out other
    vae-jax convert other --to flax
    vae-jax parity record digits_ae --hyper latent_size=2 --hyper hidden_size=3 --steps 2 \
        --batch-size 2 --out recording.safetensors

``data`` is what ``write_data`` writes. The figures were left out, and the paths of the machine.
"""

import dataclasses
import hashlib
import shutil
import struct
from pathlib import Path

import flax.traverse_util
import numpy as np
import pytest

import vae_jax
from vae_jax.data import open_dataset
from vae_jax.parity.bundle import check_bundle
from vae_jax.training import loop
from vae_jax.training.checkpoint import load_run_variables, load_variables
from vae_jax.training.metrics import read_metrics
from vae_jax.training.run import open_run

HERE = Path(__file__).parent
HYPER = {"hidden_size": 1, "latent_size": 1}


def write_data(folder):
    """IDX files of six images and two more."""
    folder.mkdir()
    for prefix, count, factor in (("train", 6, 7), ("t10k", 2, 11)):
        images = (np.arange(count * 784) * factor % 251).astype(np.uint8).reshape(count, 28, 28)
        labels = np.arange(count).astype(np.uint8)
        for kind, array in (("images", images), ("labels", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            path = folder / f"{prefix}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(header + array.tobytes())
    return f"idx:{folder}"


def sha256_of(variables):
    digest = hashlib.sha256()
    for name, leaf in sorted(flax.traverse_util.flatten_dict(variables, sep="/").items()):
        digest.update(name.encode() + leaf.tobytes())
    return digest.hexdigest()


def test_a_runs_description_metrics_and_weights_are_read():
    run = open_run(HERE / "run")
    assert (run.model, run.hyper) == ("digits_ae", HYPER)
    recipe = vae_jax.MODELS["digits_ae"].recipe.replace(
        data="idx:data",
        epochs=1,
        batch_size=4,
        corrupt="gaussian:0.25",
        learning_rate=0.01,
        seed=8,
    )
    assert run.recipe == recipe
    (record,) = read_metrics(run)
    assert (record["step"], record["loss"]) == (2, 242.22528839111328)
    assert sha256_of(load_run_variables(run.checkpoints)) == (
        "12140973f52f5ea8f0382b7809c3df55bf7ad3146f689f96ee1e0442432354b7"
    )


@pytest.mark.slow
def test_a_run_is_resumed_for_one_more_epoch(tmp_path):
    shutil.copytree(HERE / "run", tmp_path / "run")
    run = open_run(tmp_path / "run")
    recipe = run.recipe.replace(epochs=2, data=write_data(tmp_path / "data"))
    run = dataclasses.replace(run, recipe=recipe)
    dataset = open_dataset(recipe.data, (28, 28, 1))
    result = loop.train(run, dataset, resume=True)
    assert [record["step"] for record in result.epochs] == [2, 4]
    assert result.epochs[1]["loss"] == pytest.approx(233.21441650390625, rel=1e-6)
    # What that revision's own resume ended with.
    params = result.state.params
    sums = {
        name: float(np.asarray(params[name]["kernel"], np.float64).sum())
        for name in ("common", "encoded", "decode")
    }
    expected = {
        "common": 22.263913194770367,
        "encoded": 0.5432931184768677,
        "decode": -10.287194884862402,
    }
    assert sums == pytest.approx(expected, rel=1e-5)


def test_a_flax_folder_is_loaded():
    name, hyper, variables = load_variables(HERE / "flax")
    assert name == "conv_vae"
    assert hyper == {
        "image_shape": (28, 28, 1),
        "widths": (2, 2),
        "latent_size": 2,
        "batch_norm": True,
    }
    assert sha256_of(variables) == (
        "2fd10127dcdd984bac4e1686c5308bbf45c82a20e73d78b33739bcc8fd971734"
    )


def test_a_recording_is_read_and_the_port_agrees_with_it():
    report = check_bundle(vae_jax.read_checkpoint(HERE / "recording.safetensors"))
    assert report.passed
    assert len(report.rows) == 105
    assert report.title.startswith("digits_ae: the port against what PyTorch 2.13.0+cpu recorded")
