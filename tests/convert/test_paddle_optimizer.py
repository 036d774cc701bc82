"""Adam's state in Paddle's .pdopt files: read where it can go on, and written."""

import pickle

import numpy as np
import pytest
from adam_states import ADVICE, SMALL, assert_same_state, made_up

from vae_jax.convert import training_files
from vae_jax.convert.mapping import rules_of
from vae_jax.convert.optimizer import parameter_shapes
from vae_jax.convert.paddle.optimizer import find_paddle_adam, paddle_names, paddle_state
from vae_jax.convert.paddle.pdparams import write_pdparams
from vae_jax.convert.read import read_as_named, read_root
from vae_jax.convert.training_files import files_with_adam, read_adam, write_with_adam
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec

RECIPE = get_spec("digits_vae").recipe


def pair(folder):
    """The .pdparams files of a model, with the .pdopt files beside them."""
    files = [folder / f"A_{part}_False.pdparams" for part in ("encoder", "decoder")]
    adam = made_up("digits_vae")
    weights = {name: np.zeros_like(moment) for name, moment in adam.exp_avg.items()}
    write_with_adam("digits_vae", files, weights, adam, RECIPE, 1)
    return files


def read_pair(files, recipe=RECIPE):
    return read_adam("digits_vae", files, recipe, **SMALL["digits_vae"])


def rewrite(path, change):
    content = {name: array.copy() for name, array in read_as_named(path).items()}
    change(content)
    path.unlink()
    with open(path, "wb") as file:
        write_pdparams(content, file)


def test_paddles_files_come_back_bit_for_bit_and_none_is_no_adam(tmp_path):
    files = pair(tmp_path)
    assert_same_state(read_pair(files), made_up("digits_vae"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        p.name for p in files_with_adam("digits_vae", files)
    )
    for path in files:
        path.with_suffix(".pdopt").unlink()
    assert read_pair(files) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.pop("conv2d_0.w_0_moment1_0"),
            "only one of the two moments of encoder.conv1",
        ),
        (lambda c: c.update({"lin.w_0_moment1_0": np.ones(1)}), "state of 'lin.w_0', which the"),
        (
            lambda c: c.update({"conv2d_0.w_0_moment1_1": np.ones(1)}),
            "moment1 of 'conv2d_0.w_0' tw",
        ),
        (lambda c: c.update({"conv2d_0.w_0_moment2_max_0": np.ones(1)}), "state of plain Adam"),
        (lambda c: c["conv2d_0.b_0_beta1_pow_acc_0"].fill(0.5), "different beta1_pow_acc for its"),
        (lambda c: c.update({"conv2d_0.b_0_beta1_pow_acc_0": np.ones(2)}), "of shape (2,): expec"),
        (lambda c: [c.pop(k) for k in list(c) if "pow" in k], "no powers of the betas"),
        (
            lambda c: [
                v.fill(0.5**9 if "beta1" in k else 0.999**9) for k, v in c.items() if "pow" in k
            ],
            "has another step count than the other part's file (A_encoder_False.pdopt 8, ",
        ),
    ],
    ids=range(8),
)
def test_paddles_files_that_do_not_fit_are_one_line(tmp_path, change, message):
    files = pair(tmp_path)
    rewrite(files[0].with_suffix(".pdopt"), change)
    with pytest.raises(CheckpointError) as error:
        read_pair(files)
    text = str(error.value)
    assert ".pdopt: " in text
    assert message in text
    assert "expected" in text
    assert text.endswith(ADVICE)


def test_paddles_half_a_pair_or_a_table_too_few_is_one_line(tmp_path):
    files = pair(tmp_path)
    with pytest.raises(CheckpointError, match=r"no step count.*train takes --beta1 and --beta2"):
        read_pair(files, RECIPE.replace(beta1=0.9))
    rewrite(files[1], lambda content: None)  # writes no table
    with pytest.raises(CheckpointError, match=r"A_decoder_False\.pdparams has no table of Pad"):
        read_pair(files)
    files[1].with_suffix(".pdopt").unlink()
    with pytest.raises(CheckpointError, match=r"A_decoder_False\.pdopt: is missing, but A_enco"):
        read_pair(files)


@pytest.mark.paddle
@pytest.mark.parametrize("name", ["digits_vae", "digits_cvae"])
def test_paddle_names_the_parameters_as_we_do(name):
    paddle_twin = pytest.importorskip("vae_jax.parity.backends.paddle", exc_type=ImportError)
    paddle = paddle_twin.paddle
    shapes = parameter_shapes(name, channels=2)
    with paddle.utils.unique_name.guard():
        twin = paddle_twin.PaddleReference(name, np.float32, channels=2)
        found = {
            f"{part}.{name}": parameter.name
            for part, whole in twin.parts.items()
            for name, parameter in whole.named_parameters()
        }
    assert paddle_names(shapes) == found
    assert list(paddle_names(shapes)) == list(found)


def add_to_state(path, **more):
    content = {name: array.copy() for name, array in read_as_named(path).items()}
    path.write_bytes(pickle.dumps(content | more, 4))


def test_mixed_precision_is_refused(tmp_path):
    files = pair(tmp_path)
    add_to_state(files[0].with_suffix(".pdopt"), master_weights={"a": np.ones(1)})
    with pytest.raises(CheckpointError, match=r"holds master_weights \(mixed precision\)"):
        read_pair(files)


def test_a_schedulers_last_learning_rate_is_that_of_the_state(tmp_path):
    files = pair(tmp_path)
    assert read_pair(files).settings == {}
    for path in files:
        state = {"last_epoch": 3, "last_lr": 0.0025}
        add_to_state(path.with_suffix(".pdopt"), LR_Scheduler=state)
    found = read_pair(files)
    assert_same_state(found, made_up("digits_vae"))
    assert found.settings == {"learning_rate": 0.0025}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"last_epoch": 3, "last_lr": 0.1}, r"A_encoder_False.pdopt 0.1, A_decoder.* none\)"),
        ({"last_epoch": 3}, "without last_lr, the learning rate that it set: expected a number"),
        ({"last_lr": "0.1"}, "without last_lr"),
        ({"last_lr": float("nan")}, "without last_lr"),
    ],
    ids=range(4),
)
def test_a_learning_rate_of_one_part_or_that_is_no_number_is_refused(tmp_path, state, message):
    files = pair(tmp_path)
    add_to_state(files[0].with_suffix(".pdopt"), LR_Scheduler=state)
    with pytest.raises(CheckpointError, match=message) as error:
        read_pair(files)
    assert str(error.value).endswith(ADVICE)


@pytest.mark.paddle
def test_paddle_goes_on_at_the_rate_that_is_read_of_its_scheduler(tmp_path, paddle):
    files = pair(tmp_path)
    schedules = [
        paddle.optimizer.lr.ExponentialDecay(5e-3, 0.5),
        paddle.optimizer.lr.LinearWarmup(
            paddle.optimizer.lr.CosineAnnealingDecay(0.1, 9), 4, 0.0, 0.1
        ),
        paddle.optimizer.lr.ReduceOnPlateau(0.3),
    ]
    for schedule in schedules:
        parameter = paddle.create_parameter([1], "float32")
        adam = paddle.optimizer.Adam(schedule, parameters=[parameter])
        schedule.step(*[1.0] * isinstance(schedule, paddle.optimizer.lr.ReduceOnPlateau))
        paddle.save({"LR_Scheduler": adam.state_dict()["LR_Scheduler"]}, str(tmp_path / "state"))
        for path in files:
            add_to_state(path.with_suffix(".pdopt"), **read_root(tmp_path / "state"))
        assert read_pair(files).settings == {"learning_rate": adam.get_lr()}


def test_of_paddles_four_files_all_are_replaced_or_none(tmp_path, monkeypatch):
    files = pair(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 4
    honest, calls = training_files.read_parameter_names, []

    def lie(path):
        calls.append(path)
        return honest(path) if len(calls) < 4 else {}

    monkeypatch.setattr(training_files, "read_parameter_names", lie)
    adam = made_up("digits_vae")
    weights = {k: v + 1 for k, v in adam.exp_avg.items()}
    with pytest.raises(CheckpointError, match=r"A_decoder_False\.pdopt: was read back with"):
        write_with_adam("digits_vae", files, weights, adam, RECIPE, 1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_parameter_of_a_part_is_in_its_paddle_state():
    adam = made_up("digits_vae")
    names = paddle_names(adam.exp_avg)
    states = [paddle_state(adam, names, RECIPE, part) for part in ("encoder.", "decoder.")]
    assert len(states[0]) + len(states[1]) == 4 * len(rules_of("digits_vae"))
    assert not states[0].keys() & states[1].keys()
    assert find_paddle_adam({}, {}, RECIPE) is None
