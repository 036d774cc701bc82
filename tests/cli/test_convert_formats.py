"""``convert`` from and to the formats of Paddle and TensorFlow, whose originals read them again."""

import json
import shutil

import numpy as np
import pytest

import vae_jax
from vae_jax.parity.backends import create_reference
from vae_jax.parity.probes import probes_of
from vae_jax.recipe import Recipe
from vae_jax.training.checkpoint import load_variables

pytestmark = [pytest.mark.paddle, pytest.mark.tensorflow]

CHANNELS = {"channels": 2}
CONV = {"image_shape": (5, 4, 1), "widths": (2, 3), "latent_size": 2, "batch_norm": True}
NAMED = ("--hyper=image_shape=5x4x1", "--hyper=likelihood=bernoulli")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The encoder's and the decoder's file of each of the Paddle originals, and the originals."""
    folder, made = tmp_path_factory.mktemp("Paddle"), {}
    for seed, name in enumerate(("digits_vae", "digits_cvae")):
        original = create_reference(name, np.float32, seed=seed, **CHANNELS)
        made[name] = (*original.save(folder, "A"), original)
    return made


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The prefix that TensorFlow's Saver wrote after one step, and the original."""
    folder = tmp_path_factory.mktemp("TensorFlow")
    original = create_reference("stddev_vae", np.float32, latent_size=2, seed=1)
    probe = next(probes_of("stddev_vae", 2, 0, 1, latent_size=2))
    original.step(Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3), *probe)
    original.save(folder / "train", global_step=9)
    return folder / "train-9", original


def tensors_in(folder):
    name, hyper, variables = load_variables(folder)
    return name, hyper, vae_jax.export_weights(name, variables, **hyper)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes(), name


def assert_same_outputs(one, other, name, **hyper):
    probe = next(probes_of(name, 3, 7, 1, **hyper))
    found, expected = one.forward(*probe), other.forward(*probe)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, key)


@pytest.mark.parametrize("name", ["digits_vae", "digits_cvae"])
@pytest.mark.parametrize("given", [(0, 1), (0,), (1,)], ids=["both", "encoder", "decoder"])
def test_a_pair_is_converted_and_one_file_finds_the_other_beside_it(
    succeed, pairs, tmp_path, name, given
):
    out = succeed("convert", *(pairs[name][i] for i in given), "--to", tmp_path / "out").out
    assert out.startswith(f"{name}: {len(pairs[name][2].state_dict())} tensors")
    found, hyper, tensors = tensors_in(tmp_path / "out")
    assert (found, hyper) == (name, CHANNELS)
    assert_same(tensors, pairs[name][2].state_dict())


@pytest.mark.parametrize("name", ["digits_vae", "digits_cvae"])
def test_paddle_loads_the_pair_that_is_written(succeed, pairs, tmp_path, name):
    encoder, _, original = pairs[name]
    target, beside = (tmp_path / f"B_{part}_x.pdparams" for part in ("encoder", "decoder"))
    printed = json.loads(succeed("convert", encoder, "--to", target, "--json").out)
    assert printed["files"] == [str(target), str(beside)]
    again = create_reference(name, np.float32, seed=9, **CHANNELS)
    again.load(target, beside)
    assert_same_outputs(again, original, name, **CHANNELS)


@pytest.mark.parametrize("existing", ["B_encoder.pdparams", "B_decoder.pdparams"])
def test_neither_file_of_a_pair_is_replaced_unless_forced(succeed, cli, pairs, tmp_path, existing):
    target = ("--to", tmp_path / "B_encoder.pdparams")
    (tmp_path / existing).write_bytes(b"mine")
    error = cli("convert", pairs["digits_vae"][0], *target).error
    assert f"{tmp_path / existing} exists already" in error
    assert [path.read_bytes() for path in tmp_path.glob("*.pdparams")] == [b"mine"]
    succeed("convert", pairs["digits_vae"][0], *target, "--force")
    assert len([path for path in tmp_path.glob("*.pdparams") if path.stat().st_size > 4]) == 2


def test_a_name_that_has_no_place_for_the_part_is_refused(cli, pairs, tmp_path):
    target = tmp_path / "model.pdparams"
    error = cli("convert", pairs["digits_vae"][0], "--to", target).error
    assert "saved as 2 files; expected a name with 'encoder' in it" in error
    assert not target.exists()


@pytest.mark.parametrize(("part", "other"), [(0, "decoder"), (1, "encoder")])
def test_a_part_alone_says_which_file_it_misses(cli, pairs, tmp_path, part, other):
    alone = shutil.copy(pairs["digits_vae"][part], tmp_path)
    error = cli("convert", alone, "--to", tmp_path / "out").error
    assert f"without its {other} (A_{other}_False.pdparams is not beside it)" in error
    assert "give both files, the encoder first" in error
    unnamed = shutil.copy(alone, tmp_path / "weights.pdparams")
    error = cli("convert", unnamed, "--to", tmp_path / "out").error
    assert f"without its {other}: give both files" in error
    assert not (tmp_path / "out").exists()


def test_files_given_in_another_order_or_number_are_refused(cli, pairs, digits_file, tmp_path):
    encoder, decoder, _ = pairs["digits_vae"]
    target = ("--to", tmp_path / "out")
    error = cli("convert", decoder, encoder, *target).error
    assert f"{decoder} was given as the encoder but is a decoder" in error
    error = cli("convert", encoder, encoder, *target).error
    assert f"{encoder} was given as the decoder but is an encoder" in error
    error = cli("convert", encoder, digits_file, *target).error
    assert f"{digits_file} was given as the decoder but is neither of the parts (common.we" in error
    error = cli("convert", encoder, decoder, decoder, *target).error
    assert "3 files given; expected one, or an encoder and a decoder" in error
    assert not target[1].exists()


def test_a_conditional_pair_given_as_plain_is_told_apart(cli, pairs, tmp_path):
    encoder, decoder, _ = pairs["digits_cvae"]
    outcome = cli("convert", encoder, decoder, "--model=digits_vae", "--to", tmp_path / "out")
    assert "these are the weights of digits_cvae, not of digits_vae" in outcome.error
    assert "use digits_cvae" in outcome.error


@pytest.mark.parametrize(
    ("one", "other"), [("digits_cvae", "digits_vae"), ("digits_vae", "digits_cvae")]
)
def test_parts_of_two_models_are_not_joined(cli, pairs, tmp_path, one, other):
    files = pairs[one][0], pairs[other][1]
    error = cli("convert", *files, "--to", tmp_path / "out").error
    assert f"{files[0]} and {files[1]}: " in error
    assert "files of two models?" in error
    assert "decoder.conv1.weight is (98, " in error
    assert not (tmp_path / "out").exists()


def test_a_tensorflow_checkpoint_leaves_out_its_optimiser_and_says_so(succeed, training, tmp_path):
    prefix, original = training
    lines = succeed("convert", prefix, "--to", tmp_path / "out").out.splitlines()
    assert lines[0].startswith("stddev_vae: 14 tensors")
    stored = vae_jax.read_checkpoint(prefix)
    slots = sorted(stored.keys() - original.state_dict().keys())
    assert len(slots) == 26
    idle = ["generation/g_h1/b", "generation/g_h2/b"]
    for tensor in (*slots, *idle):
        (line,) = (line for line in lines[1:] if tensor in line.replace(":", ",").split(", "))
        if tensor in idle:
            reason = "kept for export; the original never adds it"
        else:
            reason = f"{'counter' if 'power' in tensor else 'moment'} of the original's Adam"
        assert reason in line
    printed = json.loads(succeed("convert", prefix, "--to", tmp_path / "2", "--json").out)
    assert printed["remarks"] == [line.strip() for line in lines[1:]]
    name, hyper, tensors = tensors_in(tmp_path / "out")
    assert (name, hyper) == ("stddev_vae", {"latent_size": 2})
    assert_same(tensors, original.state_dict())


def test_tensorflow_restores_the_checkpoint_that_is_written(succeed, cli, training, tmp_path):
    prefix, original = training
    index = tmp_path / "ours.index"
    succeed("convert", prefix, "--to", index)
    again = create_reference("stddev_vae", np.float32, latent_size=2, seed=5)
    again.restore(tmp_path / "ours")
    assert_same(again.state_dict(), original.state_dict())
    assert_same_outputs(again, original, "stddev_vae", latent_size=2)
    before = index.read_bytes()
    assert "exists already" in cli("convert", prefix, "--to", index).error
    assert index.read_bytes() == before
    succeed("convert", prefix, "--to", index, "--force")


def test_a_prefix_without_its_values_names_the_file_to_copy(cli, training, tmp_path):
    for file in training[0].parent.iterdir():
        if ".data" not in file.name:
            shutil.copy(file, tmp_path)
    for source in (tmp_path / "train-9", tmp_path / "train-9.index", tmp_path):
        error = cli("convert", source, "--to", tmp_path / "out").error
        assert f"{source}: lacks 1 of its 1 data files: expected train-9.data-00000-of-" in error
    assert not (tmp_path / "out").exists()


def test_a_file_of_other_names_is_not_asked_for_hyperparameters(cli, tmp_path):
    file = tmp_path / "other.safetensors"
    vae_jax.write_checkpoint(file, {f"blocks.{n}.weight": np.ones(2) for n in range(124)})
    error = cli("convert", file, "--to", tmp_path / "out", "--model", "conv_vae").error
    assert "this is not a conv_vae checkpoint: 0 of its 124 tensors have conv_vae's names" in error
    assert "cannot be inferred" not in error


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model/w/.ATTRIBUTES/VARIABLE_VALUE", "a"], "holds the objects of TensorFlow 2 (tf.tr"),
        (["arr_0", "arr_1"], "holds arrays without names (arr_0, ...)"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--model", "digits_ae")])
def test_names_that_number_the_tensors_are_explained(cli, tmp_path, names, message, options):
    file = tmp_path / "other.npz"
    np.savez(file, **dict.fromkeys(names, np.ones(2)))
    error = cli("convert", file, "--to", tmp_path / "out", *options).error
    assert f"{file}: {message}" in error
    assert "save its arrays under the original's names with numpy.savez" in error


def test_a_file_asks_for_what_its_tensors_do_not_determine_and_comes_back_bit_for_bit(
    succeed, cli, tmp_path
):
    file, folder = tmp_path / "conv.safetensors", tmp_path / "folder"
    tensors = create_reference("conv_vae", np.float32, **CONV).state_dict()
    vae_jax.write_checkpoint(file, tensors)
    error = cli("convert", file, "--to", folder).error
    assert f"{file}: conv_vae's image_shape and likelihood cannot be inferred from" in error
    assert "--hyper image_shape=28,28,1 --hyper likelihood=mse" in error
    error = cli("convert", file, "--to", folder, NAMED[0]).error
    assert "conv_vae's likelihood cannot be inferred from its tensors; give" in error
    error = cli("convert", file, "--to", folder, "--hyper=image_shape=28x28x1", NAMED[1]).error
    assert "(other hyperparameters, or files of two models?): fc_mu.weight is (2, 6)" in error
    assert not folder.exists()
    succeed("convert", file, "--to", folder, *NAMED)
    name, hyper, found = tensors_in(folder)
    assert (name, hyper) == ("conv_vae", CONV | {"likelihood": "bernoulli"})
    assert_same(found, tensors)
    for suffix in (".pth", ".safetensors"):
        succeed("convert", folder, "--to", tmp_path / f"back{suffix}")
        assert_same(vae_jax.read_checkpoint(tmp_path / f"back{suffix}"), tensors)
