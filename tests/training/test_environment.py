"""A run knows which of its steps were taken under which versions, and says where they change."""

import json

import jax
import pytest

from vae_jax.training import loop
from vae_jax.training.environment import (
    Segment,
    add_segment,
    environment,
    other_versions,
    read_segments,
)

from . import tiny


def under(version):
    return {"versions": {"jax": version, "numpy": "2.0"}, "devices": ["cpu"]}


def segments(*versions_from):
    return [Segment(from_step=step, environment=under(version)) for step, version in versions_from]


def test_a_run_that_goes_on_under_the_same_versions_has_one_segment():
    assert add_segment(segments((0, "1")), 5, under("1")) == segments((0, "1"))


def test_other_versions_begin_a_segment_and_are_named():
    found = add_segment(segments((0, "1")), 5, under("2"))
    assert found == segments((0, "1"), (5, "2"))
    assert other_versions(found) == "jax 2 (was 1)"
    assert other_versions(segments((0, "1"))) is None


def test_steps_that_are_taken_again_lose_their_segment():
    before = segments((0, "1"), (5, "2"), (9, "3"))
    assert add_segment(before, 9, under("2")) == segments((0, "1"), (5, "2"))
    assert add_segment(before, 5, under("1")) == segments((0, "1"))
    assert add_segment(before, 0, under("3")) == segments((0, "3"))


def test_other_devices_begin_a_segment_without_other_versions():
    now = under("1") | {"devices": ["cpu"] * 8}
    found = add_segment(segments((0, "1")), 5, now)
    assert [segment["from_step"] for segment in found] == [0, 5]
    assert other_versions(found) is None


@pytest.mark.parametrize(
    "damaged", [5, {}, "ab", [3], [{}], [{"from_step": "0"}], [{"from_step": 0, "environment": 7}]]
)
def test_damaged_segments_are_left_out(damaged):
    assert read_segments({"segments": damaged}) == []
    assert read_segments({"environment": damaged}) == []


@pytest.mark.slow
def test_a_run_resumed_under_other_versions_says_so_in_a_line_and_writes_it_down(tmp_path, capsys):
    """The description is as it was written before there were segments."""
    run = tiny.run_of(tmp_path / "run", epochs=1)
    loop.train(run, tiny.dataset_of())
    file = run.path / "run.json"
    description = json.loads(file.read_text())
    (first,) = description.pop("segments")
    first["environment"]["versions"] |= {"jax": "0.1.2", "optax": "0.0.3"}
    file.write_text(json.dumps(description | {"environment": first["environment"]}))
    capsys.readouterr()
    for epochs in (1, 2, 3):  # the first takes no step, and the last has been told
        loop.train(tiny.run_of(run.path, epochs=epochs), tiny.dataset_of(), resume=True)
        said = [line for line in capsys.readouterr().err.splitlines() if "epoch" not in line]
        if epochs != 2:
            assert said == []
            continue
        now = environment()["versions"]
        assert said == [
            f"{run.path}: the steps after 3 are taken under jax {jax.__version__} (was 0.1.2), "
            f"optax {now['optax']} (was 0.0.3); they go on from those before within rounding, not "
            "bit for bit"
        ]
    description = json.loads(file.read_text())
    assert description["segments"] == [first, {"from_step": 3, "environment": environment()}]
    assert "environment" not in description
    assert description["recipe"]["epochs"] == 3
