"""Recorded references: green for the ports, red for faults, and none of their frameworks needed."""

import dataclasses
import functools
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest

from vae_jax import read_checkpoint
from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import MODELS
from vae_jax.optim import optimizer_of
from vae_jax.parity import golden
from vae_jax.parity import port as port_module
from vae_jax.parity.golden import check_golden, digest, golden_file
from vae_jax.parity.report import compare
from vae_jax.parity.seeded import seeded_probes, seeded_tensors

# Of seed 7, drawn once: they must stay, or no recording holds any more.
BITS = {
    "kernel": "-0x1.f44336ab29640p-3",
    "bias": "-0x1.79aa298e6ee40p-7",
    "scale": "0x1.e4cf96966292bp-1",
    "mean": "0x1.4df4efe97a08dp-6",
    "variance": "0x1.1e23e350f924dp-1",
    "image": "0x1.6161616161620p-5",
    "noise": "0x1.1b21300d00000p+0",
}
LABELS = [6, 9, 3]

SCRIPT = Path(__file__).parents[2] / "scripts" / "record_reference.py"


def recording(name, **facts):
    """The package's recording; ``steps=0`` cuts the training off it."""
    tensors = read_checkpoint(golden_file(name))
    metadata = json.loads(tensors["metadata"].tobytes()) | facts
    return tensors | {"metadata": np.frombuffer(json.dumps(metadata).encode(), np.uint8)}


def broken_stages(name, **facts) -> dict[str, str]:
    """The stages that break, in order, each with its first tensor over the budget."""
    with jax.enable_x64(True):
        report = check_golden(name, recording(name, **facts))
    stages: dict[str, str] = {}
    for row in report.rows:
        if not row.passed:
            stages.setdefault(row.stage, row.tensor)
    return stages


@pytest.mark.parametrize("name", [name for name in MODELS if name != "face_vae"])
def test_a_port_follows_its_recorded_reference_through_20_steps(name):
    with jax.enable_x64(True):
        report = check_golden(name, read_checkpoint(golden_file(name)))
    assert report.passed, report.table()
    spec = MODELS[name]
    assert f"what {spec.reference.framework} " in report.title
    assert "20 training steps" in report.title
    stages = {row.stage for row in report.rows}
    assert {"weights and inputs", "forward", "loss terms", "gradients"} <= stages
    assert {"losses, 20 steps", "weights and statistics", "exp_avg", "exp_avg_sq"} <= stages
    names = {rule.source for rule in spec.rules(spec.module())}
    for stage in ("gradients", "weights and statistics", "exp_avg", "exp_avg_sq"):
        assert {row.tensor for row in report.rows if row.stage == stage} == names


def test_the_large_ports_outputs_are_the_recorded_ones():
    facts, stages = golden._stages("face_vae", recording("face_vae"))
    start = seeded_tensors("face_vae", facts["seed"])
    (probe,) = seeded_probes("face_vae", facts["batch_size"], facts["seed"], 1)
    with jax.enable_x64(True):
        outputs = golden._DigestedPort("face_vae", np.float64, start).forward(*probe)
    rows = compare("forward", stages["forward"], outputs, 1e-13)
    assert [row.tensor for row in rows] == ["mean", "std", "image"]
    assert all(row.passed for row in rows), rows


def test_every_model_has_a_recording_of_less_than_100_kb():
    files = {path.stem: path.stat().st_size for path in golden_file("face_vae").parent.iterdir()}
    assert files.keys() == MODELS.keys()
    assert max(files.values()) < 100_000


def test_swapped_heads_break_the_outputs(monkeypatch):
    spec = MODELS["digits_vae"]
    names = {"conv_mean": "conv_logvar", "conv_logvar": "conv_mean"}

    def rules(model):
        return tuple(
            dataclasses.replace(rule, target=tuple(names.get(p, p) for p in rule.target))
            for rule in spec.rules(model)
        )

    monkeypatch.setitem(MODELS, "digits_vae", dataclasses.replace(spec, rules=rules))
    stages = broken_stages("digits_vae", steps=0)
    assert next(iter(stages.items())) == ("forward", "mean")


def test_another_slope_of_the_leaky_relu_breaks_the_outputs(monkeypatch):
    steeper = functools.partial(nn.leaky_relu, negative_slope=0.2)
    monkeypatch.setattr(nn, "leaky_relu", steeper)
    stages = broken_stages("digits_vae", steps=0)
    assert next(iter(stages.items())) == ("forward", "mean")


def test_another_learning_rate_breaks_the_training_alone(monkeypatch):
    monkeypatch.setattr(
        port_module,
        "optimizer_of",
        lambda recipe: optimizer_of(recipe.replace(learning_rate=recipe.learning_rate * 1.0001)),
    )
    stages = broken_stages("digits_ae")
    assert next(iter(stages)) == "losses, 20 steps"
    assert stages["weights and statistics"] == "common.weight"


def test_other_weights_or_inputs_are_told_before_anything_else():
    stages = broken_stages("digits_ae", seed=1, steps=0)
    assert next(iter(stages.items())) == ("weights and inputs", "common.weight")


def test_what_is_no_recording_of_the_model_is_refused():
    with pytest.raises(UserError, match="jax_enable_x64"):
        check_golden("digits_ae", recording("digits_ae"))
    with jax.enable_x64(True):
        with pytest.raises(CheckpointError, match="a recording of digits_ae, not of conv_vae"):
            check_golden("conv_vae", recording("digits_ae"))
        with pytest.raises(CheckpointError, match="no recording"):
            check_golden("digits_ae", {"common.weight": np.zeros((200, 784))})


def test_a_recording_made_now_is_the_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["record", "digits_ae", "--out", str(tmp_path / "new")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "digits_ae.safetensors" in capsys.readouterr().out
    new = read_checkpoint(tmp_path / "new" / "digits_ae.safetensors")
    ours = read_checkpoint(golden_file("digits_ae"))
    del new["metadata"], ours["metadata"]
    # Another machine or version of PyTorch may round otherwise.
    assert all(row.passed for row in compare("all", dict(ours), dict(new), 1e-12))


def test_neither_a_check_nor_its_advice_needs_the_original(tmp_path):
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'paddle', 'tensorflow'))\n"
        "from vae_jax.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['vae-jax', 'parity', *line.split()]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        print('status', end.code, flush=True)\n"
    )
    lines = ["digits_ae --recorded", "digits_ae", "digits_ae --recorded --steps 3 --seed 1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *lines],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env=os.environ | {"VAE_JAX_CACHE": str(tmp_path)},
    )
    table, missing, fixed, end = done.stdout.split("status ")
    assert "the port against what PyTorch " in table
    assert "exp_avg_sq" in table
    assert "BROKEN" not in table
    assert missing.startswith("0\nerror: ")
    assert missing.count("\n") == 2
    assert "vae-jax[torch]" in missing
    assert "--recorded" in missing
    assert fixed.startswith("1\nerror: ")
    assert fixed.endswith("leave out --steps, --seed\n")
    assert end == "1\n"


def test_seeded_weights_and_inputs_have_known_bits():
    tensors = seeded_tensors("conv_vae", 7, batch_norm=True)
    (probe,) = seeded_probes("digits_cvae", 3, 7, 1)
    found = {
        "kernel": tensors["encoder.0.weight"][1, 0, 2, 0],
        "bias": tensors["encoder.0.bias"][3],
        "scale": tensors["encoder.1.weight"][0],
        "mean": tensors["encoder.1.running_mean"][5],
        "variance": tensors["encoder.1.running_var"][5],
        "image": probe.image[2, 9, 5, 0],
        "noise": probe.noise[1, 0],
    }
    assert {k: float(v).hex() for k, v in found.items()} == BITS
    assert tensors["encoder.1.num_batches_tracked"] == np.int64(0)
    np.testing.assert_array_equal(probe.label.argmax(1), LABELS)


def test_seeded_weights_are_within_their_bounds_and_differ():
    tensors = seeded_tensors("conv_vae", 0, batch_norm=True)
    weight = tensors["encoder.3.weight"]
    assert weight.shape == (64, 32, 3, 3)
    assert 0.99 < np.abs(weight).max() * np.sqrt(32 * 9) <= 1
    assert abs(weight.mean()) < 1e-3
    assert tensors["encoder.1.running_var"].min() > 0.5
    assert (tensors["fc_mu.weight"] != tensors["fc_logvar.weight"]).all()
    assert (weight != seeded_tensors("conv_vae", 1, batch_norm=True)["encoder.3.weight"]).all()


def test_seeded_noise_is_nearly_normal_and_inputs_differ():
    first, second = seeded_probes("face_vae", 8, 0, 2)
    assert first.noise is not None
    assert abs(first.noise.mean()) < 0.1
    assert abs(first.noise.std() - 1) < 0.05
    assert first.image.shape == (8, 256, 256, 3)
    assert 0 <= first.image.min() < 0.2 < 0.8 < first.image.max() <= 1
    assert np.abs(first.image - second.image).mean() > 0.05
    assert np.abs(first.image - first.image.transpose(0, 2, 1, 3)).mean() > 0.05
    assert np.abs(first.image[..., 0] - first.image[..., 1]).mean() > 0.05


def test_a_digest_sees_a_single_number_an_exchange_and_a_transposition():
    tensor = np.random.default_rng(0).normal(size=(300, 300))

    def error(other):
        pair = ({"t": digest("t", value)} for value in (tensor, other))
        return compare("s", *pair, 1.0)[0].error

    assert error(tensor.copy()) == 0
    assert error(tensor.T) > 0.1
    assert error(tensor[::-1]) > 0.1
    one, two = tensor.copy(), tensor.copy()
    one[200, 7] += 1e-6  # 90,000 numbers dilute it 300 times
    assert error(one) > 1e-6 / 300 / 2 / np.abs(tensor).max()
    two[[200, 100], [7, 9]] = two[[100, 200], [9, 7]]
    assert error(two) > 1e-5
    two = tensor.copy()
    two[0, 0] = np.nan
    assert np.isnan(error(two))


def test_rounding_has_the_same_size_in_a_digest_as_in_the_tensor():
    rng = np.random.default_rng(1)
    for shape in ((65,), (70_000,), (40, 30, 20)):
        tensor = rng.normal(size=shape)
        noise = 1e-9 * rng.normal(size=shape)
        change = digest("t", tensor + noise) - digest("t", tensor)
        assert 2e-10 < np.abs(change[:4]).max() < 4e-9
        assert abs(change[4]) < 1e-9
    small = rng.normal(size=(8, 8))
    np.testing.assert_array_equal(digest("t", small), small)
