"""Checkpoints as people save them: wrapped, averaged, in parts, and with other things beside."""

import numpy as np
import pytest
from adam_states import AE, made_up

import vae_jax
from vae_jax.convert.model_tensors import read_model_tensors
from vae_jax.errors import CheckpointError

torch = pytest.importorskip("torch")

WEIGHTS = made_up("digits_ae").exp_avg


def saved(content, folder):
    path = folder / f"{len(list(folder.iterdir()))}.pth"
    torch.save(content, path)
    return path


def state(weights=WEIGHTS, prefix=""):
    return {prefix + name: torch.tensor(array) for name, array in weights.items()}


def assert_read(found, remarks):
    assert found.remarks == remarks
    assert list(found.tensors) == list(WEIGHTS)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found.tensors[name], array)


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "net.",
        "vae.",
        "model._orig_mod.",
        "_orig_mod.model.",
        "module.model.",
        "model.module._orig_mod.",
        "lit.model.net.",
        "_fsdp_wrapped_module.model.",
    ],
)
def test_a_prefix_that_leaves_a_models_names_is_taken_off_and_told(tmp_path, prefix):
    path = saved({"state_dict": state(prefix=prefix), "epoch": 1}, tmp_path)
    assert_read(read_model_tensors(path), (f"taken off the names: {prefix}",))


def test_wrappers_inside_are_taken_off(tmp_path):
    names = {name: name.replace(".", ".module.") for name in WEIGHTS}
    path = saved({names[name]: torch.tensor(array) for name, array in WEIGHTS.items()}, tmp_path)
    assert_read(read_model_tensors(path), ("taken off the names: the prefixes of wrappers inside",))


def test_names_of_no_model_are_kept_and_the_error_says_how_to_choose(tmp_path):
    path = saved(state({"a.b": np.ones((2, 2)), "a.c": np.ones(2)}), tmp_path)
    assert list(read_model_tensors(path).tensors) == ["a.b", "a.c"]
    with pytest.raises(CheckpointError, match=r"the prefix a\. of all names leaves no model's"):
        vae_jax.load(path)
    both = saved(state(prefix="vae.") | {"critic.weight": torch.ones(2, 2)}, tmp_path)
    with pytest.raises(CheckpointError, match=r"those under vae\. are a model's: give --key vae$"):
        vae_jax.load(both)
    assert_read(read_model_tensors(both, key="vae"), ())
    nested = saved({"state_dict": torch.load(both), "epoch": 1}, tmp_path)
    assert_read(read_model_tensors(nested, key="state_dict.vae"), ())


@pytest.mark.parametrize("wrapped", ["", "ema."])
def test_an_averaged_model_is_read_without_its_count(tmp_path, wrapped):
    model = torch.nn.Linear(2, 3)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    assert {"n_averaged", "module.weight"} <= averaged.state_dict().keys()
    content = state(prefix="module.") | {"n_averaged": torch.tensor(3)}
    content = {wrapped + name: tensor for name, tensor in content.items()}
    for path, key in (
        (saved(content, tmp_path), None),
        (saved({"model": state(), "ema": content}, tmp_path), "ema"),
    ):
        loaded = vae_jax.load(path, key=key)
        assert (
            loaded.remarks
            == (
                f"taken off the names: {wrapped}module.",
                "left out, the count of torch.optim.swa_utils.AveragedModel: n_averaged",
            )
            or wrapped
        )
        assert loaded.hyper == AE
        np.testing.assert_array_equal(
            vae_jax.export_weights("digits_ae", loaded.variables, **AE)["l1.bias"],
            WEIGHTS["l1.bias"],
        )


@pytest.mark.parametrize(
    "title",
    ["{}", "{}_state_dict", "model_{}", "{}_state", "{}.state_dict"],
)
def test_parts_in_dicts_of_their_own_are_joined_and_told(tmp_path, title):
    parts = {}
    for name, array in WEIGHTS.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = torch.tensor(array)
    named = {title.format(part): tensors for part, tensors in parts.items()}
    listed = ", ".join(named)
    found = read_model_tensors(saved(named | {"epoch": 3}, tmp_path))
    assert_read(found, (f"joined from the file's dicts {listed}",))
    found = read_model_tensors(saved({"nets": named, "epoch": 3}, tmp_path), key="nets")
    assert_read(found, (f"joined from the file's dicts {', '.join(f'nets.{n}' for n in named)}",))
    wrapped = {
        name: {f"module.{n}": tensor for n, tensor in tensors.items()}
        for name, tensors in named.items()
    }
    found = read_model_tensors(saved(wrapped, tmp_path))
    assert_read(found, (f"joined from the file's dicts {listed}",))


def test_two_sets_of_weights_are_not_joined(tmp_path):
    path = saved({"model": state(), "ema": state()}, tmp_path)
    with pytest.raises(CheckpointError, match=r"several state dicts: 'model' .*'ema'.*--key"):
        read_model_tensors(path)


@pytest.mark.parametrize(
    "beside",
    [
        {"metrics": {"loss": torch.tensor(0.5), "kl": torch.tensor([2.0])}},
        {"callbacks": {"ModelCheckpoint{'monitor': 'v'}": {"best": {"/a.ckpt": torch.ones(())}}}},
        {"rng": {"torch": torch.get_rng_state(), "cuda": torch.get_rng_state()}},
        {"history": {"loss": torch.ones(30), "kl": torch.ones(30)}},
        {"losses": np.array([3.0, 2.0]), "numpy": np.random.get_state()},  # noqa: NPY002
        {"names": np.array(["a", "b"]), "objects": np.array([{}, None], object)},
    ],
    ids=range(6),
)
def test_what_lies_beside_the_weights_is_no_second_set(tmp_path, beside):
    assert_read(read_model_tensors(saved({"model": state()} | beside, tmp_path)), ())
    # Also where the weights have something else in their own dict.
    marked = {"model": state() | {"version": 2}} | beside
    assert_read(read_model_tensors(saved(marked, tmp_path)), ())


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_weights_as_numpy_arrays_are_read(tmp_path, options, protocol):
    arrays = {name: np.asfortranarray(array) for name, array in WEIGHTS.items()}
    arrays["common.weight"] = arrays["common.weight"].astype(">f4")
    path = tmp_path / "arrays.pth"
    torch.save({"model": arrays}, path, pickle_protocol=protocol, **options)
    assert_read(read_model_tensors(path), ())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    content = state()
    content["l1.bias"][0] = value
    content["common.weight"][0, :2] = value
    path = saved(content, tmp_path)
    with pytest.raises(CheckpointError) as error:
        vae_jax.load(path)
    assert str(error.value) == (
        f"{path}: its weights are not finite: common.weight (2 of 2352 numbers), l1.bias (1 of 3 "
        "numbers): expected numbers; take a checkpoint from before the training diverged"
    )
