"""Every observation is judged, by the right measure, and nothing missing passes."""

import math
from itertools import count

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.parity.backends import Backend
from vae_jax.parity.compare import Expected, compare, live, scales_of
from vae_jax.parity.observe import Observation, Plan
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.stages import Kind, Stage
from vae_jax.parity.tolerances import Tolerances, tolerances_of

DOUBLE, SINGLE = PRECISIONS["float64"], PRECISIONS["float32"]


def same_for_all(relative, ratio):
    return Tolerances(dict.fromkeys(Kind, relative), dict.fromkeys(Kind, ratio))


WIDE = same_for_all(1.0, 3.0)


def rows_of(expected, made, precision=DOUBLE, tolerances=WIDE, zero_gradient_tensors=(), **more):
    """Both are (stage, step, tensors[, errors]), one an observation."""
    truth = (
        Expected(stage, step, values, errors[0] if errors else None)
        for stage, step, values, *errors in expected
    )
    found = (Observation(*o) for o in made)
    return compare(truth, found, precision, tolerances, zero_gradient_tensors, **more)


def arrays(**tensors):
    return {name: np.asarray(value, np.float64) for name, value in tensors.items()}


def test_there_is_a_row_a_stage_and_tensor_in_the_order_of_the_observations():
    expected = [
        (Stage.GRADIENTS, 0, arrays(b=[1.0], a=[2.0])),
        (Stage.ACTIVATIONS, 0, arrays(a=[1.0])),
    ]
    found = [
        (Stage.GRADIENTS, 0, arrays(a=[2.0], b=[1.5])),
        (Stage.ACTIVATIONS, 0, arrays(a=[1.0])),
    ]
    rows = rows_of(expected, found)
    names = [(row.stage, row.tensor) for row in rows]
    assert names == [(Stage.GRADIENTS, "b"), (Stage.GRADIENTS, "a"), (Stage.ACTIVATIONS, "a")]
    assert [row.relative for row in rows] == [0.5, 0.0, 0.0]


def test_several_steps_of_a_tensor_are_one_row_with_its_curve():
    expected = [(Stage.LOSSES, n, {"loss": 2.0}) for n in (1, 2, 3)]
    found = [(Stage.LOSSES, n, {"loss": 2.0 + d}) for n, d in ((1, 0.0), (2, 0.5), (3, -0.25))]
    (row,) = rows_of(expected, found)
    assert row.max_abs == 0.5
    assert row.relative == 0.25
    assert row.by_step == ((1, 0.0, None), (2, 0.25, None), (3, 0.125, None))
    (row,) = rows_of([(Stage.GRADIENTS, 0, {"w": 1.0})], [(Stage.GRADIENTS, 0, {"w": 1.0})])
    assert row.by_step == ()


@pytest.mark.parametrize("stage", [Stage.GRADIENTS, Stage.LOSSES])
@pytest.mark.parametrize("precision", [DOUBLE, SINGLE])
def test_a_missing_an_unknown_and_a_misshapen_tensor_are_infinitely_wrong(precision, stage):
    errors = None if precision is DOUBLE else {"absent": 0.1, "shape": 0.1, "fine": 0.1}
    rows = rows_of(
        [(stage, 0, arrays(absent=[1.0], shape=[1.0, 1.0], fine=[1.0]), errors)],
        [(stage, 0, arrays(shape=[[1.0, 1.0]], fine=[1.0], unknown=[0.0]))],
        precision,
        same_for_all(math.inf, math.inf),
    )
    passed = {row.tensor: row.passed for row in rows}
    assert passed == {"absent": False, "shape": False, "fine": True, "unknown": False}


def test_a_broadcastable_shape_is_not_the_same_shape():
    (row,) = rows_of(
        [(Stage.STRUCTURE, 0, arrays(w=[3, 4]))], [(Stage.STRUCTURE, 0, arrays(w=[3]))], SINGLE
    )
    assert not row.passed


@pytest.mark.parametrize("stage", [Stage.GRADIENTS, Stage.LOSSES])
@pytest.mark.parametrize("precision", [DOUBLE, SINGLE])
def test_nan_breaks_every_tolerance(precision, stage):
    errors = None if precision is DOUBLE else {"w": 1.0}
    endless = same_for_all(math.inf, math.inf)
    (row,) = rows_of(
        [(stage, 1, {"w": 1.0}, errors)], [(stage, 1, {"w": math.nan})], precision, endless
    )
    assert not row.passed
    (row,) = rows_of(
        [(stage, n, {"w": 1.0}, errors) for n in (1, 2)],
        [(stage, 1, {"w": math.nan}), (stage, 2, {"w": 1.0})],
        precision,
        endless,
    )
    assert not row.passed


ZERO_GRADIENT = ("conv.bias", "norm.running_mean")


def test_zero_gradient_tensors_are_told_apart_where_rounding_feeds_them():
    tensors = {"conv.weight": np.ones(2), "conv.bias": np.ones(1)}
    apart = (Stage.GRADIENTS, Stage.STEP_EXP_AVG, Stage.RUN_WEIGHTS)
    together = (Stage.WEIGHTS_AND_INPUTS, Stage.ACTIVATIONS, Stage.OUTPUTS, Stage.STRUCTURE)
    for stage in (*apart, *together):
        pair = [(stage, 1, tensors)], [(stage, 1, tensors)]
        rows = rows_of(*pair, zero_gradient_tensors=ZERO_GRADIENT)
        expected = f"{stage.value}, zero-gradient" if stage in apart else stage.value
        assert [row.title for row in rows] == [stage.value, expected]
        assert [row.stage for row in rows] == [stage, stage]


def test_a_zero_gradient_is_measured_on_the_scale_of_its_layers_weight():
    truth = arrays(**{"conv.weight": [-8.0, 1.0], "conv.bias": [1e-17], "norm.weight": [1.0]})
    own = truth | arrays(**{"conv.bias": [3e-17]})
    for stage in (Stage.GRADIENTS, Stage.STEP_EXP_AVG):
        rows = rows_of([(stage, 0, truth)], [(stage, 0, own)], zero_gradient_tensors=ZERO_GRADIENT)
        assert rows[1].relative == pytest.approx(2e-17 / 8)
    rows = rows_of(
        [(Stage.STEP_WEIGHTS, 0, truth)], [(Stage.STEP_WEIGHTS, 0, own)],
        zero_gradient_tensors=ZERO_GRADIENT,
    )  # fmt: skip
    assert rows[1].relative == pytest.approx(2)
    assert scales_of(Stage.GRADIENTS, truth, ZERO_GRADIENT) == {"conv.bias": 8.0}
    assert scales_of(Stage.STEP_WEIGHTS, truth, ZERO_GRADIENT) == {}
    assert scales_of(Stage.GRADIENTS, arrays(**{"conv.bias": [1.0]}), ZERO_GRADIENT) == {}


def test_below_float64_the_error_is_a_ratio_of_medians_over_the_batches():
    found, errors = (1e-6, 9e-6, 2e-6), (4e-6, 1e-6, 2e-6)
    (row,) = rows_of(
        [(Stage.GRADIENTS, n, arrays(w=[1.0]), {"w": s}) for n, s in enumerate(errors)],
        [(Stage.GRADIENTS, n, arrays(w=[1.0 + e])) for n, e in enumerate(found)],
        SINGLE,
    )
    assert row.max_abs == pytest.approx(9e-6)
    assert row.rms == pytest.approx(2e-6)
    assert row.reference_error == 2e-6
    assert row.error == row.error_ratio == pytest.approx(1)
    assert row.tolerance == 3.0


def test_a_reference_that_happens_to_be_right_is_no_measure():
    (row,) = rows_of(
        [(Stage.GRADIENTS, 0, arrays(w=[1.0]), {"w": 0.0})],
        [(Stage.GRADIENTS, 0, arrays(w=[1.0 + 2.0**-23]))],
        SINGLE,
    )
    assert row.error_ratio == pytest.approx(2)
    assert row.reference_error == 0


def test_what_is_exact_is_exact_below_float64_too():
    for stage in (Stage.STRUCTURE, Stage.READ_BACK):
        (row,) = rows_of(
            [(stage, 0, arrays(w=[1.0]), {"w": 1.0})],
            [(stage, 0, arrays(w=[1.0 + 1e-7]))],
            SINGLE,
            tolerances_of(),
        )
        assert row.error_ratio is None
        assert not row.passed


def test_a_run_of_steps_is_drawn_and_not_judged_below_float64():
    stage = Stage.RUN_WEIGHTS
    for zero_gradient_tensors in ((), ("w",)):
        (row,) = rows_of(
            [(stage, n, {"w": 1.0}, {"w": 0.1}) for n in (1, 2)],
            [(stage, n, {"w": 1.0 + 10 * n}) for n in (1, 2)],
            SINGLE,
            tolerances_of(),
            zero_gradient_tensors,
        )
        assert row.tolerance == math.inf
        assert row.passed
        assert row.by_step == ((1, 10.0, 0.1), (2, 20.0, 0.1))
        pair = [(stage, 1, {"w": 1.0})], [(stage, 1, {"w": 1.1})]
        (row,) = rows_of(*pair, tolerances=tolerances_of())
        assert not row.passed
    (row,) = rows_of(
        [(Stage.STEP_WEIGHTS, 0, {"w": 1.0}, {"w": 0.001})],
        [(Stage.STEP_WEIGHTS, 0, {"w": 1.1})],
        SINGLE,
        tolerances_of(),
    )
    assert not row.passed


def test_it_can_stop_at_the_first_observation_over_its_tolerance():
    made = []

    def found():
        for step in count():
            made.append(step)
            yield Observation(Stage.LOSSES, step, {"a": 1.0, "b": 1.0 + (step == 2)})

    def expected():
        return (Expected(Stage.LOSSES, step, {"a": 1.0, "b": 1.0}, None) for step in count())

    rows = compare(expected(), found(), DOUBLE, same_for_all(0.5, 0.5), stop_early=True)
    assert made == [0, 1, 2]
    assert [row.passed for row in rows] == [True, False]
    assert [step for step, *_ in rows[1].by_step] == [0, 1, 2]


def test_of_a_digest_the_projections_alone_make_the_root_mean_square():
    digest = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 9.0])
    moved = digest + np.array([0.09, -0.09, 0.09, -0.09, 0.0, 0.9])
    errors = {"w": 0.01}
    (row,) = rows_of(
        [(Stage.GRADIENTS, 0, {"w": digest}, errors)], [(Stage.GRADIENTS, 0, {"w": moved})],
        SINGLE, digested=True,
    )  # fmt: skip
    assert row.rms == pytest.approx(0.01)
    assert row.relative == pytest.approx(0.1)
    whole = np.arange(1.0, 6.0)  # a small tensor as it is
    (row,) = rows_of(
        [(Stage.GRADIENTS, 0, {"w": whole}, errors)], [(Stage.GRADIENTS, 0, {"w": whole + 0.05})],
        SINGLE, digested=True,
    )  # fmt: skip
    assert row.rms == pytest.approx(0.01)


class _Fake(Backend):
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

    def updates(self, recipe, start, gradients):
        raise AssertionError("there is no optimiser")

    def moments(self):
        raise AssertionError("there is no optimiser")


def test_live_references_yield_the_truth_and_how_far_the_other_is_from_it():
    plan = Plan({}, lambda number: (), None, 0, zero_gradient_tensors=("conv.bias",))
    alone = list(live(_Fake(0.0), None, plan))
    assert [e.stage for e in alone][:3] == [Stage.STRUCTURE, Stage.READ_BACK, Stage.ACTIVATIONS]
    assert all(e.reference_errors is None for e in alone)
    both = {e.stage: e for e in live(_Fake(0.0), _Fake(0.5), plan)}
    np.testing.assert_array_equal(both[Stage.ACTIVATIONS].values["layer"], [4.0, 2.0])
    assert both[Stage.ACTIVATIONS].reference_errors == {"layer": 0.125}
    assert both[Stage.LOSS_TERMS].reference_errors == {"loss": 0.25}
    assert both[Stage.GRADIENTS].reference_errors == {"conv.weight": 0.0, "conv.bias": 0.5 / 8}
    assert both[Stage.READ_BACK].reference_errors == {"w": 0.0}


def test_a_tensor_of_as_many_numbers_as_a_digest_is_judged_whole():
    from vae_jax.parity.recording import LENGTH, digest

    bias = np.ones(LENGTH)
    wrong = bias + np.eye(LENGTH)[-1]
    errors = {"w": 1e-8}
    values = [(Stage.GRADIENTS, 0, {"w": digest("w", bias)}, errors)]
    (row,) = rows_of(
        values, [(Stage.GRADIENTS, 0, {"w": digest("w", wrong)})], SINGLE, digested=True
    )
    assert not row.passed
    (row,) = rows_of(
        [(Stage.GRADIENTS, 0, {"w": bias}, errors)], [(Stage.GRADIENTS, 0, {"w": wrong})], SINGLE
    )
    assert not row.passed


@pytest.mark.parametrize("found", [10.0, np.inf, np.nan])
def test_a_median_over_batches_lets_no_gross_error_through(found):
    errors, right = {"w": 1e-7}, np.array([1.0, -2.0])
    expected = [(Stage.GRADIENTS, n, {"w": right}, errors) for n in range(5)]
    made = [(Stage.GRADIENTS, n, {"w": right * (found if n in (1, 3) else 1)}) for n in range(5)]
    (row,) = rows_of(expected, made, SINGLE)
    assert not row.passed
    # A batch on the other branch of a ReLU does not decide.
    made = [(Stage.GRADIENTS, n, {"w": right * (1.02 if n in (1, 3) else 1)}) for n in range(5)]
    (row,) = rows_of(expected, made, SINGLE)
    assert row.passed


def test_sides_that_give_different_stages_are_told_apart_in_one_line():
    one = [(Stage.ACTIVATIONS, 0, {"w": np.ones(2)}, None)]
    with pytest.raises(UserError, match="expected 'activations', the port gives nothing more"):
        rows_of(one, [], DOUBLE)
    with pytest.raises(UserError, match="expected 'activations', the port gives 'gradients'"):
        rows_of(one, [(Stage.GRADIENTS, 0, {"w": np.ones(2)})], DOUBLE)
    with pytest.raises(UserError, match="expected 'losses', the port gives 'losses'"):
        rows_of([(Stage.LOSSES, 1, {}, None)], [(Stage.LOSSES, 2, {})])


@pytest.mark.parametrize(("error", "passes"), [(1.9e-5, True), (2.1e-5, False), (np.nan, False)])
def test_of_a_run_below_float64_the_worst_loss_is_judged(error, passes):
    # By twice the original's own worst, which is at another step.
    errors = [1e-9, 1e-5, 1e-9]
    expected = [(Stage.LOSSES, n, {"loss": 1.0}, {"loss": s}) for n, s in enumerate(errors, 1)]
    found = [(Stage.LOSSES, n, {"loss": 1.0 + (error if n == 3 else 0)}) for n in (1, 2, 3)]
    (row,) = rows_of(expected, found, SINGLE, tolerances_of())
    assert row.passed == passes
    assert row.tolerance == 2
    # Below a floor there is no saying whose rounding it is.
    expected = [(Stage.LOSSES, 1, {"loss": 1.0}, {"loss": 0.0})]
    (row,) = rows_of(expected, [(Stage.LOSSES, 1, {"loss": 1.0 + 9e-6})], SINGLE, tolerances_of())
    assert row.passed
