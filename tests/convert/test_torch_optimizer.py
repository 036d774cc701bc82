"""Adam's state in PyTorch's training checkpoints: read where it can go on, and written."""

import copy
import io

import numpy as np
import pytest
from adam_states import ADVICE, AE, assert_same_state, made_up

import vae_jax
from vae_jax.convert import training_files
from vae_jax.convert.torch.optimizer import find_torch_adam
from vae_jax.convert.torch.zip import read_torch_zip
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


def test_a_step_may_be_a_number_and_a_learning_rate_a_tensor(tmp_path):
    content = stepped()
    expected = read(content, tmp_path)
    changed = copy.deepcopy(content)
    for entry in changed["adam"]["state"].values():
        entry["step"] = 3
    changed["adam"]["param_groups"][0]["lr"] = torch.tensor(1e-3, dtype=torch.float64)
    assert_same_state(read(changed, tmp_path), expected)


def grouped(layer, *groups):
    """A file's contents after a step of an optimiser with these groups of a layer's parameters."""
    optimizer = torch.optim.Adam([{"params": [getattr(layer, n) for n in g]} for g in groups])
    (layer(torch.rand(2, layer.in_features)) ** 2).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), buffer := io.BytesIO())
    return read_torch_zip(memoryview(buffer.getvalue())), optimizer


def test_groups_in_another_order_are_matched_by_shape_and_told():
    layer = torch.nn.Linear(4, 3)
    shapes = {"weight": (3, 4), "bias": (3,)}
    root, optimizer = grouped(layer, ["bias"], ["weight"])
    found = find_torch_adam(root, shapes)
    for name in shapes:
        expected = optimizer.state[getattr(layer, name)]["exp_avg"].numpy()
        np.testing.assert_array_equal(found.exp_avg[name], expected)
    (line,) = found.remarks
    assert line == "its 2 param_groups are matched to the model's parameters by shape"
    assert find_torch_adam(grouped(layer, ["weight", "bias"])[0], shapes).remarks == ()
    with pytest.raises(CheckpointError, match=r"moments of shape \(3,\): expected the model's"):
        find_torch_adam(root, {"weight": (3, 4), "bias": (5,)})


def test_groups_whose_parameters_could_be_exchanged_are_refused(tmp_path):
    content = stepped()
    adam = content["adam"]
    (group,) = adam["param_groups"]
    adam["param_groups"] = [group | {"params": p} for p in ([0, 1, 2, 3], [4, 5, 6, 7])]
    with pytest.raises(CheckpointError, match=r"moments of common\.bias and l1.bias, of one shape"):
        read(content, tmp_path)


def test_named_moments_in_another_order_are_written_in_the_models(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(reversed(list(model.named_parameters())))
    model(torch.rand(2, 784))[0].sum().backward()
    optimizer.step()
    adam = read({"m": model.state_dict(), "o": optimizer.state_dict()}, tmp_path)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_with_adam("digits_ae", [tmp_path / "w.pth"], weights, adam, RECIPE, None)
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    assert "epoch" not in content  # which the file did not say
    again = torch.optim.Adam(model.parameters())
    again.load_state_dict(content["optimizer"])
    for parameter in model.parameters():
        expected = optimizer.state[parameter]["exp_avg"]
        assert torch.equal(again.state[parameter]["exp_avg"], expected)


def test_parameters_without_moments_are_named(tmp_path):
    model = network()
    for parameter in model.common.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 784))[0].sum().backward()
    optimizer.step()
    with pytest.raises(CheckpointError) as error:
        read({"m": model.state_dict(), "o": optimizer.state_dict()}, tmp_path)
    assert "no moments of common.weight, common.bias (frozen, or without a grad" in str(error.value)
    assert str(error.value).endswith(f"{ADVICE} and --learning-rate 0.001 keeps the file's rate")


def before_2_6(adamw, decay):
    """A file's contents whose group has the keys of PyTorch 2.0 to 2.5, in their order."""
    content = stepped(weight_decay=decay)
    (group,) = content["adam"]["param_groups"]
    order = ["lr", "betas", "eps", "weight_decay", "amsgrad"]
    order += ["foreach", "maximize"] if adamw else ["maximize", "foreach"]
    order += ["capturable", "differentiable", "fused", "params"]
    content["adam"]["param_groups"] = [{key: group[key] for key in order}]
    return content


def test_a_decay_before_2_6_is_asked_for_as_it_may_be_adamws(tmp_path):
    with pytest.raises(CheckpointError, match="AdamW, by the order of its settings, with weight_d"):
        read(before_2_6(adamw=True, decay=0.1), tmp_path)
    content = before_2_6(adamw=False, decay=0.1)
    with pytest.raises(CheckpointError) as error:
        read(content, tmp_path)
    assert "not say whether it is Adam or AdamW: expected Adam: if it was, give" in str(error.value)
    assert "train --weight-decay 0.1" in str(error.value)
    torch.save(content, tmp_path / "asked.pth")
    found = read_adam("digits_ae", [tmp_path / "asked.pth"], RECIPE, decay_is_given=True, **AE)
    assert found.settings["weight_decay"] == 0.1


@pytest.mark.parametrize("adamw", [True, False])
def test_without_decay_a_file_before_2_6_is_adams_either_way(tmp_path, adamw):
    assert read(before_2_6(adamw, decay=0.0), tmp_path).step == 3


def test_the_learning_rate_of_a_scheduler_is_told(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    model(torch.rand(2, 784))[0].sum().backward()
    optimizer.step()
    schedule.step()
    found = read({"m": model.state_dict(), "o": optimizer.state_dict()}, tmp_path)
    assert found.settings["learning_rate"] == 0.005
    (line,) = found.remarks
    assert line == "the file's learning_rate 0.005 is its scheduler's; it began at 0.01"


def test_moments_of_a_parametrised_weight_are_refused(tmp_path):
    model = network()
    torch.nn.utils.parametrizations.spectral_norm(model.l1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 784))[0].sum().backward()
    optimizer.step()
    with pytest.raises(CheckpointError, match="moments are those of weight_norm or spectral_norm"):
        read({"m": model.state_dict(), "o": optimizer.state_dict()}, tmp_path)


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
