"""Every observation is judged, by the right measure, and nothing missing passes."""

import math
from itertools import count

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.parity.compare import Expected, compare, live, scales_of
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.stages import Observation, Plan
from vae_jax.parity.tolerances import Tolerances, tolerances_of

DOUBLE, SINGLE = PRECISIONS["float64"], PRECISIONS["float32"]
WIDE = Tolerances({"": 1.0}, {"": 3.0})


def rows_of(expected, made, precision=DOUBLE, tolerances=WIDE, noise_fed=(), **more):
    """Both are (stage, step, tensors[, strays]), one an observation."""
    truth = (
        Expected(stage, step, values, strays[0] if strays else None)
        for stage, step, values, *strays in expected
    )
    found = (Observation(*o) for o in made)
    return compare(truth, found, precision, tolerances, noise_fed, **more)


def arrays(**tensors):
    return {name: np.asarray(value, np.float64) for name, value in tensors.items()}


def test_there_is_a_row_a_stage_and_tensor_in_the_order_of_the_observations():
    expected = [("gradients", 0, arrays(b=[1.0], a=[2.0])), ("activations", 0, arrays(a=[1.0]))]
    found = [("gradients", 0, arrays(a=[2.0], b=[1.5])), ("activations", 0, arrays(a=[1.0]))]
    rows = rows_of(expected, found)
    names = [(row.stage, row.tensor) for row in rows]
    assert names == [("gradients", "b"), ("gradients", "a"), ("activations", "a")]
    assert [row.relative for row in rows] == [0.5, 0.0, 0.0]


def test_several_steps_of_a_tensor_are_one_row_with_its_curve():
    expected = [("losses", n, {"loss": 2.0}) for n in (1, 2, 3)]
    found = [("losses", n, {"loss": 2.0 + d}) for n, d in ((1, 0.0), (2, 0.5), (3, -0.25))]
    (row,) = rows_of(expected, found)
    assert row.max_abs == 0.5
    assert row.relative == 0.25
    assert row.by_step == ((1, 0.0, None), (2, 0.25, None), (3, 0.125, None))
    (row,) = rows_of([("gradients", 0, {"w": 1.0})], [("gradients", 0, {"w": 1.0})])
    assert row.by_step == ()


@pytest.mark.parametrize("stage", ["gradients", "losses"])
@pytest.mark.parametrize("precision", [DOUBLE, SINGLE])
def test_a_missing_an_unknown_and_a_misshapen_tensor_are_infinitely_wrong(precision, stage):
    strays = None if precision is DOUBLE else {"absent": 0.1, "shape": 0.1, "fine": 0.1}
    rows = rows_of(
        [(stage, 0, arrays(absent=[1.0], shape=[1.0, 1.0], fine=[1.0]), strays)],
        [(stage, 0, arrays(shape=[[1.0, 1.0]], fine=[1.0], unknown=[0.0]))],
        precision,
        Tolerances({"": math.inf}, {"": math.inf}),
    )
    passed = {row.tensor: row.passed for row in rows}
    assert passed == {"absent": False, "shape": False, "fine": True, "unknown": False}


def test_a_broadcastable_shape_is_not_the_same_shape():
    (row,) = rows_of(
        [("structure", 0, arrays(w=[3, 4]))], [("structure", 0, arrays(w=[3]))], SINGLE
    )
    assert not row.passed


@pytest.mark.parametrize("stage", ["gradients", "losses"])
@pytest.mark.parametrize("precision", [DOUBLE, SINGLE])
def test_nan_breaks_every_budget(precision, stage):
    strays = None if precision is DOUBLE else {"w": 1.0}
    endless = Tolerances({"": math.inf}, {"": math.inf})
    (row,) = rows_of(
        [(stage, 1, {"w": 1.0}, strays)], [(stage, 1, {"w": math.nan})], precision, endless
    )
    assert not row.passed
    (row,) = rows_of(
        [(stage, n, {"w": 1.0}, strays) for n in (1, 2)],
        [(stage, 1, {"w": math.nan}), (stage, 2, {"w": 1.0})],
        precision,
        endless,
    )
    assert not row.passed


NOISE_FED = ("conv.bias", "norm.running_mean")


def test_noise_fed_tensors_have_stages_of_their_own_where_rounding_feeds_them():
    tensors = {"conv.weight": np.ones(2), "conv.bias": np.ones(1)}
    judged = ("loss terms", "gradients", "exp_avg after one step", "weights after steps")
    for stage in (*judged, "activations", "posterior heads", "outputs", "optimiser", "structure"):
        rows = rows_of([(stage, 1, tensors)], [(stage, 1, tensors)], noise_fed=NOISE_FED)
        expected = f"{stage}, noise-fed" if stage in judged else stage
        assert [row.stage for row in rows] == [stage, expected]


def test_a_noise_fed_gradient_is_measured_on_the_scale_of_its_layers_weight():
    truth = arrays(**{"conv.weight": [-8.0, 1.0], "conv.bias": [1e-17], "norm.weight": [1.0]})
    own = truth | arrays(**{"conv.bias": [3e-17]})
    for stage in ("gradients", "exp_avg after one step"):
        rows = rows_of([(stage, 0, truth)], [(stage, 0, own)], noise_fed=NOISE_FED)
        assert rows[1].relative == pytest.approx(2e-17 / 8)
    rows = rows_of(
        [("weights after one step", 0, truth)], [("weights after one step", 0, own)],
        noise_fed=NOISE_FED,
    )  # fmt: skip
    assert rows[1].relative == pytest.approx(2)
    assert scales_of("gradients", truth, NOISE_FED) == {"conv.bias": 8.0}
    assert scales_of("weights after one step", truth, NOISE_FED) == {}
    assert scales_of("gradients", arrays(**{"conv.bias": [1.0]}), NOISE_FED) == {}


def test_below_float64_the_error_is_k_of_medians_over_the_batches():
    errors, strays = (1e-6, 9e-6, 2e-6), (4e-6, 1e-6, 2e-6)
    (row,) = rows_of(
        [("gradients", n, arrays(w=[1.0]), {"w": s}) for n, s in enumerate(strays)],
        [("gradients", n, arrays(w=[1.0 + e])) for n, e in enumerate(errors)],
        SINGLE,
    )
    assert row.max_abs == pytest.approx(9e-6)
    assert row.rms == pytest.approx(2e-6)
    assert row.stray == 2e-6
    assert row.error == row.k == pytest.approx(1)
    assert row.budget == 3.0


def test_a_reference_that_happens_to_be_right_is_no_yardstick():
    (row,) = rows_of(
        [("gradients", 0, arrays(w=[1.0]), {"w": 0.0})],
        [("gradients", 0, arrays(w=[1.0 + 2.0**-23]))],
        SINGLE,
    )
    assert row.k == pytest.approx(2)
    assert row.stray == 0


def test_what_is_exact_is_exact_below_float64_too():
    for stage in ("structure", "read-back"):
        (row,) = rows_of(
            [(stage, 0, arrays(w=[1.0]), {"w": 1.0})],
            [(stage, 0, arrays(w=[1.0 + 1e-7]))],
            SINGLE,
            tolerances_of(),
        )
        assert row.k is None
        assert not row.passed


def test_a_run_of_steps_is_drawn_and_not_judged_below_float64():
    for stage in ("weights after steps", "weights after steps, noise-fed"):
        (row,) = rows_of(
            [(stage, n, {"w": 1.0}, {"w": 0.1}) for n in (1, 2)],
            [(stage, n, {"w": 1.0 + 10 * n}) for n in (1, 2)],
            SINGLE,
            tolerances_of(),
        )
        assert row.budget == math.inf
        assert row.passed
        assert row.by_step == ((1, 10.0, 0.1), (2, 20.0, 0.1))
        pair = [(stage, 1, {"w": 1.0})], [(stage, 1, {"w": 1.1})]
        (row,) = rows_of(*pair, tolerances=tolerances_of())
        assert not row.passed
    (row,) = rows_of(
        [("weights after one step", 0, {"w": 1.0}, {"w": 0.001})],
        [("weights after one step", 0, {"w": 1.1})],
        SINGLE,
        tolerances_of(),
    )
    assert not row.passed


def test_it_can_stop_at_the_first_observation_over_its_budget():
    made = []

    def found():
        for step in count():
            made.append(step)
            yield Observation("losses", step, {"a": 1.0, "b": 1.0 + (step == 2)})

    def expected():
        return (Expected("losses", step, {"a": 1.0, "b": 1.0}, None) for step in count())

    rows = compare(expected(), found(), DOUBLE, Tolerances({"": 0.5}, {}), stop_early=True)
    assert made == [0, 1, 2]
    assert [row.passed for row in rows] == [True, False]
    assert [step for step, *_ in rows[1].by_step] == [0, 1, 2]


def test_of_a_digest_the_projections_alone_make_the_root_mean_square():
    digest = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 9.0])
    moved = digest + np.array([0.09, -0.09, 0.09, -0.09, 0.0, 0.9])
    strays = {"w": 0.01}
    (row,) = rows_of(
        [("gradients", 0, {"w": digest}, strays)], [("gradients", 0, {"w": moved})],
        SINGLE, digested=True,
    )  # fmt: skip
    assert row.rms == pytest.approx(0.01)
    assert row.relative == pytest.approx(0.1)
    whole = np.arange(1.0, 6.0)  # a small tensor as it is
    (row,) = rows_of(
        [("gradients", 0, {"w": whole}, strays)], [("gradients", 0, {"w": whole + 0.05})],
        SINGLE, digested=True,
    )  # fmt: skip
    assert row.rms == pytest.approx(0.01)


class _Fake:
    def __init__(self, offset):
        self.offset = offset

    def reset(self, tensors):
        pass

    def state_dict(self):
        return {"w": np.array([1.0, -2.0])}

    def trace(self, *probe, train=False):
        return {"layer": np.array([4.0, 2.0]) + self.offset}, {}

    def backward(self, *probe):
        gradients = {"conv.weight": np.array([8.0]), "conv.bias": np.array([self.offset])}
        return {"loss": 2.0 + self.offset}, gradients

    def step(self, recipe, *probe):
        raise AssertionError("there is no optimiser")

    moments = updates = step


def test_live_references_yield_the_truth_and_how_far_the_other_strays_from_it():
    plan = Plan({}, lambda number: (), None, 0)
    alone = list(live(_Fake(0.0), None, plan, ()))
    assert [e.stage for e in alone][:3] == ["structure", "read-back", "activations"]
    assert all(e.strays is None for e in alone)
    both = {e.stage: e for e in live(_Fake(0.0), _Fake(0.5), plan, ("conv.bias",))}
    np.testing.assert_array_equal(both["activations"].values["layer"], [4.0, 2.0])
    assert both["activations"].strays == {"layer": 0.125}
    assert both["loss terms"].strays == {"loss": 0.25}
    assert both["gradients"].strays == {"conv.weight": 0.0, "conv.bias": 0.5 / 8}
    assert both["read-back"].strays == {"w": 0.0}


def test_a_tensor_of_as_many_numbers_as_a_digest_is_judged_whole():
    from vae_jax.parity.digest import LENGTH, digest

    bias = np.ones(LENGTH)
    wrong = bias + np.eye(LENGTH)[-1]
    strays = {"w": 1e-8}
    values = [("gradients", 0, {"w": digest("w", bias)}, strays)]
    (row,) = rows_of(values, [("gradients", 0, {"w": digest("w", wrong)})], SINGLE, digested=True)
    assert not row.passed
    (row,) = rows_of(
        [("gradients", 0, {"w": bias}, strays)], [("gradients", 0, {"w": wrong})], SINGLE
    )
    assert not row.passed


@pytest.mark.parametrize("found", [10.0, np.inf, np.nan])
def test_a_median_over_batches_lets_no_gross_error_through(found):
    strays, right = {"w": 1e-7}, np.array([1.0, -2.0])
    expected = [("gradients", n, {"w": right}, strays) for n in range(5)]
    made = [("gradients", n, {"w": right * (found if n in (1, 3) else 1)}) for n in range(5)]
    (row,) = rows_of(expected, made, SINGLE)
    assert not row.passed
    # A batch on the other branch of a ReLU does not decide.
    made = [("gradients", n, {"w": right * (1.02 if n in (1, 3) else 1)}) for n in range(5)]
    (row,) = rows_of(expected, made, SINGLE)
    assert row.passed


def test_sides_that_give_different_stages_are_told_apart_in_one_line():
    one = [("activations", 0, {"w": np.ones(2)}, None)]
    with pytest.raises(UserError, match="expected 'activations', the port gives nothing more"):
        rows_of(one, [], DOUBLE)
    with pytest.raises(UserError, match="expected 'activations', the port gives 'gradients'"):
        rows_of(one, [("gradients", 0, {"w": np.ones(2)})], DOUBLE)
    with pytest.raises(UserError, match="expected 'losses', the port gives 'losses'"):
        rows_of([("losses", 1, {}, None)], [("losses", 2, {})])


@pytest.mark.parametrize(("error", "passes"), [(1.9e-5, True), (2.1e-5, False), (np.nan, False)])
def test_of_a_run_below_float64_the_worst_loss_is_judged(error, passes):
    # By twice the original's own worst, which is at another step.
    strays = [1e-9, 1e-5, 1e-9]
    expected = [("losses", n, {"loss": 1.0}, {"loss": s}) for n, s in enumerate(strays, 1)]
    found = [("losses", n, {"loss": 1.0 + (error if n == 3 else 0)}) for n in (1, 2, 3)]
    (row,) = rows_of(expected, found, SINGLE, tolerances_of())
    assert row.passed == passes
    assert row.budget == 2
    # Below a floor there is no saying whose rounding it is.
    expected = [("losses", 1, {"loss": 1.0}, {"loss": 0.0})]
    (row,) = rows_of(expected, [("losses", 1, {"loss": 1.0 + 9e-6})], SINGLE, tolerances_of())
    assert row.passed
