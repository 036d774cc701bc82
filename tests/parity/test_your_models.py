"""The comparison of a port that is not one of the package's: it agrees, and says where not."""

import importlib.util
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.errors import UserError
from vae_jax.models import pytorch_rules
from vae_jax.parity import compare_models
from vae_jax.parity.stages import Stage
from vae_jax.parity.tables import table
from vae_jax.spec import Rule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_your_model.py"
RULES = pytorch_rules.linear("0", ("dense",))
RNG = np.random.default_rng(0)
BATCHES = [(RNG.random((4, 3)),) for _ in range(3)]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compare_your_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Port(nn.Module):
    """A dense layer."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="dense")(x)


def squares(port, variables, x):
    """A loss."""
    return jnp.square(port.apply(variables, x)).sum()


def original():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2))


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_the_example_agrees_through_all_stages(script, precision):
    report = script.compare(precision=precision)
    assert report.passed, table(report)
    assert f"Port against PyTorch's Original, {precision}, 10 training steps" in report.title
    assert list(report.stages()) == [
        *("structure", "read-back", "activations", "outputs", "activations, train mode"),
        *("loss terms", "gradients", "gradients, zero-gradient", "optimiser"),
        *("weights after one step", "weights after one step, zero-gradient"),
        *("statistics after one step, zero-gradient", "statistics after one step"),
        "losses",
        *("weights after steps", "weights after steps, zero-gradient"),
        *("statistics after steps, zero-gradient", "statistics after steps"),
    ]
    assert report.facts["model"] == "Port"


@pytest.mark.slow
def test_flaxs_own_batch_norm_is_told_by_its_running_variance(script):
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        report = script.compare(flax_batch_norm=True)
    first = report.first_divergence
    assert first is not None
    assert (first.stage, report.place(first)) == (Stage.STEP_STATISTICS, "bn.running_var")


def test_without_losses_it_ends_at_the_outputs_and_without_optimisers_at_the_gradients():
    report = compare_models(original(), Port(), RULES, BATCHES)
    assert report.passed, table(report)
    assert list(report.stages()) == ["structure", "read-back", "activations", "outputs"]
    report = compare_models(
        original(), Port(), RULES, BATCHES,
        reference_loss=lambda module, x: {"square": (module(x) ** 2).sum()},
        loss=lambda variables, x: ({"square": squares(Port(), variables, x)}, {}),
    )  # fmt: skip
    assert report.passed, table(report)
    assert list(report.stages())[-2:] == ["loss terms", "gradients"]


def test_the_original_is_left_as_it_is():
    module = original()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    compare_models(
        module, Port(), RULES, BATCHES,
        reference_loss=lambda module, x: {"square": (module(x) ** 2).sum()},
        loss=lambda variables, x: ({"square": squares(Port(), variables, x)}, {}),
        reference_optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        optimizer=optax.sgd(0.1),
        title="mine",
    )  # fmt: skip
    assert all(p.dtype == torch.float32 and p.grad is None for p in module.parameters())
    assert all(torch.equal(module.state_dict()[k], v) for k, v in before.items())


def test_a_wrong_rule_is_found_in_the_layer():
    wrong = (Rule("0.weight", ("params", "dense", "kernel"), (1, 0), (1, (3, 1, 1))), RULES[1])
    assert compare_models(original(), Port(), wrong, BATCHES).passed  # of one pixel: no change
    square = torch.nn.Sequential(torch.nn.Linear(2, 2))
    rules = (Rule("0.weight", ("params", "dense", "kernel")), RULES[1])
    report = compare_models(square, Port(), rules, [(b[:, :2],) for (b,) in BATCHES])
    first = report.first_divergence
    assert first is not None
    assert (first.stage, report.place(first)) == (Stage.ACTIVATIONS, "0")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((*RULES, Rule("1.weight", ("params", "more", "kernel"))), "the reference has no 1.weight"),
        (RULES[:1], "no rule for 0.bias"),
        ((*RULES, RULES[0]), "two rules for 0.weight"),
    ],
)
def test_rules_and_tensors_must_match(rules, message):
    with pytest.raises(UserError, match=f"rules and tensors do not match: {message}") as caught:
        compare_models(original(), Port(), rules, BATCHES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "own"), [("loss", dict), ("optimizer", optax.sgd(0.1))])
def test_functions_come_in_pairs(name, own):
    one_of_each: tuple[dict[str, Any], ...] = ({name: own}, {f"reference_{name}": dict})
    for given in one_of_each:
        message = f"reference_{name} and {name} belong together; expected both or neither"
        with pytest.raises(UserError, match=message):
            compare_models(original(), Port(), RULES, BATCHES, **given)


@pytest.mark.parametrize("batches", [[], BATCHES[:1], [(np.ones((1, 3)),)] * 3])
def test_one_batch_or_one_example_is_too_little(batches):
    with pytest.raises(UserError, match="at least two batches of at least two examples"):
        compare_models(original(), Port(), RULES, batches)


class Labelled(torch.nn.Module):
    """A label through an embedding, and one-hot beside it."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(8, 2)

    def forward(self, label):
        one_hot = torch.nn.functional.one_hot(label, 5).to(self.out.weight.dtype)
        return self.out(torch.cat([self.embed(label), one_hot], 1))


class LabelledPort(nn.Module):
    """The same in Flax."""

    @nn.compact
    def __call__(self, label):
        embedded = nn.Embed(5, 3, name="embed")(label)
        one_hot = nn.one_hot(label, 5, dtype=embedded.dtype)
        return nn.Dense(2, name="out")(jnp.concatenate([embedded, one_hot], 1))


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_integer_inputs_stay_integers(precision):
    torch.manual_seed(0)
    rules = (
        Rule("embed.weight", ("params", "embed", "embedding")),
        *pytorch_rules.linear("out", ("out",)),
    )
    labels = [(np.arange(4) % (2 + n),) for n in range(3)]
    report = compare_models(
        Labelled(), LabelledPort(), rules, labels,
        reference_loss=lambda module, label: {"square": (module(label) ** 2).sum()},
        loss=lambda variables, label: ({"square": squares(LabelledPort(), variables, label)}, {}),
        reference_optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        optimizer=optax.sgd(0.1),
        precision=precision,
    )  # fmt: skip
    inputs = [row for row in report.rows if row.tensor == "embed (input)"]
    assert [row.max_abs for row in inputs] == [0.0]
    exact = (Stage.ACTIVATIONS, Stage.OUTPUTS, Stage.LOSS_TERMS, Stage.GRADIENTS)
    assert all(row.passed for row in report.rows if row.stage in exact), table(report)


class Partial(torch.nn.Module):
    """One layer in use and one that is not."""

    def __init__(self):
        super().__init__()
        self.out, self.unused = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.out(x)


class PartialPort(nn.Module):
    def setup(self):
        self.out = nn.Dense(2)

    def __call__(self, x):
        return self.out(x)


def compare_partial(**more):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    port = PartialPort()
    given = {
        "reference_loss": lambda module, x: {"square": (module(x) ** 2).sum()},
        "loss": lambda variables, x: ({"square": squares(port, variables, x)}, {}),
        "reference_optimizer": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
        "optimizer": optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.01)),
        "ignored": ("unused.weight", "unused.bias"),
    } | more
    batches = [(rng.normal(size=(2, 5, 3)),) for _ in range(3)]  # of no images, whatever the rank
    rules = pytorch_rules.linear("out", ("out",))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return compare_models(Partial(), port, rules, batches, **given)


@pytest.mark.slow
def test_what_is_ignored_counts_nowhere():
    report = compare_partial()
    assert report.passed, table(report)
    assert {row.tensor for row in report.rows if row.stage is Stage.RUN_EXP_AVG} == {
        "out.weight",
        "out.bias",
    }


def test_what_cannot_be_compared_is_told_in_one_line():
    with pytest.raises(UserError, match="an optimizer has nothing to minimise"):
        compare_partial(reference_loss=None, loss=None)
    with pytest.raises(UserError, match="a term is called 'loss', which is the sum's name"):
        compare_partial(
            reference_loss=lambda module, x: {"loss": (module(x) ** 2).sum()},
            loss=lambda variables, x: ({"loss": squares(PartialPort(), variables, x)}, {}),
        )
    with pytest.raises(UserError, match="'exp_avg after one step', the port gives"):
        compare_partial(
            reference_optimizer=lambda p: torch.optim.Adam(p, lr=0.01), optimizer=optax.sgd(0.01)
        )
