"""Adam's state in PyTorch's training checkpoints: read where it can go on, and written."""

import copy

import numpy as np
import pytest
from adam_states import ADVICE, AE, assert_same_state, made_up

import vae_jax
from vae_jax.convert import training_files
from vae_jax.convert.torch.optimizer import find_torch_adam
from vae_jax.convert.training_files import read_adam, write_with_adam
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec

torch = pytest.importorskip("torch")

RECIPE = get_spec("digits_ae").recipe


def network():
    from vae_jax.parity.originals.pytorch import RUNNERS

    return RUNNERS["digits_ae"].module(**AE)


def stepped(make=torch.optim.Adam, steps=3, **options):
    """A model and its optimiser after some steps, as a training checkpoint."""
    model = network()
    optimizer = make(model.parameters(), **{"lr": 1e-3} | options)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.rand(2, 784))[0].sum().backward()
        optimizer.step()
    return {"weights": model.state_dict(), "adam": optimizer.state_dict(), "epoch": 5}


def read_any(content, folder):
    # A new file each: the arrays are views of it.
    path = folder / f"{len(list(folder.iterdir()))}.pth"
    torch.save(content, path)
    return read_adam("digits_ae", [path], RECIPE, **AE)


def read(content, folder):
    found = read_any(content, folder)
    assert found is not None
    return found


def test_pytorchs_state_is_read_under_any_key(tmp_path):
    content = stepped(betas=(0.8, 0.99), eps=1e-7, weight_decay=0.01)
    expected = content["adam"]["state"]
    for nested in (content, {"a": {"b": content}}, {"all": [content], **content["weights"]}):
        found = read(nested, tmp_path)
        assert (found.step, found.epoch) == (3, 5 if nested is content else None)
        for index, name in enumerate(content["weights"]):
            for moment in ("exp_avg", "exp_avg_sq"):
                array = getattr(found, moment)[name]
                np.testing.assert_array_equal(array, expected[index][moment].numpy())
    settings = {"learning_rate": 1e-3, "beta1": 0.8, "beta2": 0.99}
    assert found.settings == settings | {"epsilon": 1e-7, "weight_decay": 0.01}


def test_a_file_of_weights_alone_has_no_adam(tmp_path):
    content = stepped()
    assert read_any(content["weights"], tmp_path) is None
    assert read_any({"weights": content["weights"], "epoch": 1}, tmp_path) is None
    vae_jax.write_checkpoint(tmp_path / "a.safetensors", made_up("digits_ae").exp_avg)
    assert read_adam("digits_ae", [tmp_path / "a.safetensors"], RECIPE, **AE) is None


def test_the_wrappers_of_a_compiled_and_parallel_model_are_no_obstacle(tmp_path):
    content = stepped()
    wrapped = {f"module._orig_mod.{k}": v for k, v in content["weights"].items()}
    assert_same_state(read(content | {"weights": wrapped}, tmp_path), read(content, tmp_path))


def test_parameters_that_the_optimiser_names_may_come_in_any_order(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(reversed(list(model.named_parameters())), lr=1e-3)
    model(torch.rand(2, 784))[0].sum().backward()
    optimizer.step()
    found = read({"m": model.state_dict(), "o": optimizer.state_dict()}, tmp_path)
    for name, parameter in model.named_parameters():
        expected = optimizer.state[parameter]["exp_avg"].numpy()
        np.testing.assert_array_equal(found.exp_avg[name], expected)


def test_groups_of_the_same_settings_are_one_and_a_step_may_be_a_number(tmp_path):
    content = stepped()
    expected = read(content, tmp_path)
    changed = copy.deepcopy(content)
    (group,) = changed["adam"]["param_groups"]
    groups = [group | {"params": group["params"][:3]}, group | {"params": group["params"][3:]}]
    changed["adam"]["param_groups"] = groups
    for entry in changed["adam"]["state"].values():
        entry["step"] = 3
    groups[0]["lr"] = groups[1]["lr"] = torch.tensor(1e-3, dtype=torch.float64)
    assert_same_state(read(changed, tmp_path), expected)


def test_adamw_without_decay_is_adam(tmp_path):
    assert read(stepped(torch.optim.AdamW, weight_decay=0.0), tmp_path).step == 3


def test_of_several_optimisers_the_only_one_that_fits_is_taken(tmp_path):
    content = stepped()
    other = torch.optim.Adam(torch.nn.Linear(2, 2).parameters()).state_dict()
    assert_same_state(read(content | {"adversary": other}, tmp_path), read(content, tmp_path))
    with pytest.raises(CheckpointError) as error:
        read(content | {"second": content["adam"] | {"x": 1}}, tmp_path)
    assert "holds the states of 2 optimisers ('adam', 'second'), of which 2 fit" in str(error.value)
    assert str(error.value).endswith(ADVICE)


def edited(change):
    def make():
        content = copy.deepcopy(stepped())
        adam = content["adam"]
        change(adam, adam["state"], adam["param_groups"])
        return content

    return make


def put(index, key, value):
    return edited(lambda adam, state, groups: state[index].__setitem__(key, value))


def setting(key, value):
    return edited(lambda adam, state, groups: groups[0].__setitem__(key, value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stepped(amsgrad=True), "amsgrad=True: expected plain Adam"),
        (lambda: stepped(maximize=True), "maximize=True: expected plain Adam"),
        (lambda: stepped(torch.optim.AdamW), "decoupled_weight_decay=True (AdamW): expected"),
        (lambda: stepped(torch.optim.SGD, momentum=0.9), "no setting 'betas': it is not Adam"),
        (lambda: stepped(torch.optim.RAdam), "no setting 'amsgrad': it is not Adam"),
        (lambda: stepped(torch.optim.NAdam), "no setting 'amsgrad': it is not Adam"),
        (lambda: stepped(steps=0), "moments of no parameter (it took no step"),
        (
            edited(
                lambda adam, state, groups: groups.append(
                    groups[0] | {"lr": 0.5, "params": [groups[0]["params"].pop()]}
                )
            ),
            "2 param_groups of different lr: expected the same settings",
        ),
        (edited(lambda adam, state, groups: groups[0]["params"].pop()), "has 7 parameters: exp"),
        (edited(lambda adam, state, groups: groups[0].update(params=["a"] * 8)), "not numbered"),
        (edited(lambda adam, state, groups: state.update({99: 1})), "a state of parameter 99"),
        (edited(lambda adam, state, groups: adam.update(state=[1])), "state is damaged"),
        (edited(lambda adam, state, groups: adam.update(param_groups=[3])), "param_groups are da"),
        (setting("lr", "fast"), "settings are not numbers"),
        (setting("betas", (0.9,)), "settings are not numbers"),
        (put(0, "step", torch.tensor(4.0)), "took 3 and 4 steps on different parameters"),
        (put(0, "step", 2.5), "step of common.weight is not a whole number"),
        (put(0, "max_exp_avg_sq", torch.ones(1)), "keeps step, exp_avg, exp_avg_sq, max_exp_avg"),
        (edited(lambda adam, state, groups: state[1].pop("exp_avg")), "of common.bias: it is not"),
        (put(0, "exp_avg", torch.ones(3, 4)), "exp_avg of common.weight is (3, 4): expected the"),
        (put(1, "exp_avg", torch.tensor([1, 2, 3])), "exp_avg of common.bias is int64: expected"),
        (put(1, "exp_avg", torch.full((3,), torch.nan)), "exp_avg of common.bias is not finite"),
        (put(1, "exp_avg_sq", -torch.ones(3)), "exp_avg_sq of common.bias is negative somewhere"),
        (put(1, "exp_avg", 0.5), "exp_avg of common.bias is not a tensor"),
    ],
    ids=range(24),
)
def test_what_our_adam_cannot_continue_is_one_line(tmp_path, make, message):
    with pytest.raises(CheckpointError) as error:
        read(make(), tmp_path)
    text = str(error.value)
    assert text.startswith(f"{tmp_path / '0.pth'}: ")
    assert message in text
    assert "expected" in text
    assert text.endswith(ADVICE)
    assert "\n" not in text


def test_a_file_with_endless_lists_is_refused():
    root = {"lists": [[] for _ in range(10_001)]}
    with pytest.raises(CheckpointError, match="over 10000 dicts and lists"):
        find_torch_adam(root, {"w": (1,)})
    loop = []
    loop.append(loop)
    assert find_torch_adam({"loop": loop}, {"w": (1,)}) is None


def test_a_pytorch_file_is_replaced_only_when_it_is_read_back_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    path.write_bytes(b"old")
    adam = made_up("digits_ae")
    arguments = ("digits_ae", [path], adam.exp_avg, adam, RECIPE, 1)
    honest = training_files.read_root
    monkeypatch.setattr(training_files, "read_root", lambda p: honest(p) | {"epoch": 2})
    with pytest.raises(CheckpointError, match="read back with other settings than written"):
        write_with_adam(*arguments)
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_with_adam(*arguments)
    assert list(tmp_path.iterdir()) == [path]
    found = torch.load(path, weights_only=True)
    assert (found["epoch"], list(found)) == (1, ["model", "optimizer", "epoch"])
    assert_same_state(read_adam("digits_ae", [path], RECIPE, **AE), adam)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("digits_ae", {"epsilon_scaling": "tensorflow"}, "PyTorch's Adam only has torch"),
        ("stddev_vae", {"epsilon_scaling": "torch"}, "TensorFlow's Adam only has tensorflow"),
        ("stddev_vae", {"weight_decay": 0.1}, "TensorFlow's AdamOptimizer has none"),
    ],
)
def test_settings_that_the_original_lacks_are_refused(tmp_path, name, fields, message):
    adam = made_up(name)
    recipe = get_spec(name).recipe.replace(**fields)
    with pytest.raises(CheckpointError, match=message):
        write_with_adam(name, [tmp_path / "a.pth"], adam.exp_avg, adam, recipe, 1)
    assert not any(tmp_path.iterdir())
