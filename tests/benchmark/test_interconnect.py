"""The model of an all-reduce on paper, at points that can be worked out in the head."""

import pytest

from vae_jax.benchmark.interconnect import (
    FABRICS,
    H100,
    WAYS,
    efficiency,
    expect,
    images_needed,
    ring,
    step_seconds,
    tree,
    two_levels,
)
from vae_jax.benchmark.tasks import make_task
from vae_jax.benchmark.work import cost_of


def test_a_ring_of_two_sends_the_bytes_once():
    assert ring(100.0, 2, bandwidth=10.0, latency=0.0) == 10.0


def test_a_large_ring_sends_nearly_twice_the_bytes_and_waits_for_every_device():
    assert ring(100.0, 1000, bandwidth=10.0, latency=0.0) == pytest.approx(20.0, rel=2e-3)
    assert ring(0.0, 1000, bandwidth=10.0, latency=1.0) == 1998


def test_a_tree_waits_for_the_logarithm_of_the_devices():
    assert tree(0.0, 256, bandwidth=10.0, latency=1.0) == 16
    assert tree(0.0, 129, bandwidth=10.0, latency=1.0) == 16


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fabric", FABRICS.values(), ids=list(FABRICS))
def test_one_device_has_nothing_to_wait_for(way, fabric):
    assert WAYS[way](1e6, 1, fabric) == 0


def test_within_a_node_two_levels_are_a_ring():
    assert two_levels(1e9, 8, H100) == WAYS["ring"](1e9, 8, H100)


def test_between_nodes_each_device_sums_its_part_alone():
    within = ring(8e9, 8, H100.inner, H100.inner_latency)
    assert two_levels(8e9, 16, H100) == within + ring(1e9, 2, H100.outer, H100.outer_latency)


def test_two_levels_spare_the_slow_links():
    assert two_levels(1e9, 64, H100) < WAYS["ring"](1e9, 64, H100) / 4


def test_a_step_is_its_products_and_its_passes_over_the_weights():
    flop = H100.flops * H100.utilisation
    assert step_seconds(flop, 2 * H100.memory, H100) == pytest.approx(3.0)


def test_the_efficiency_is_a_half_where_the_sum_takes_as_long_as_the_step():
    assert efficiency(2.0, 2.0) == 0.5
    assert efficiency(2.0, 2.0, overlap=1.0) == 1.0


def test_so_many_images_give_the_efficiency_that_was_wanted():
    images = images_needed(0.5, fixed=0.1, per_image=0.03, wanted=0.75)
    assert efficiency(0.1 + 0.03 * images, 0.5) >= 0.75 > efficiency(0.07 + 0.03 * images, 0.5)


def test_more_devices_never_help_a_step_of_the_same_work():
    for fabric in FABRICS.values():
        few, many = (expect("digits_vae", n, fabric) for n in (8, 64))
        for one, other in zip(few, many, strict=True):
            assert 0 < other.efficiency < one.efficiency < one.overlapping <= 1
            assert one.images < other.images


def test_as_many_images_as_it_says_give_the_efficiency_of_90_percent():
    for one in expect("face_vae", 64, H100):
        each = (one.alone - step_seconds(0.0, cost_of(make_task("face_vae")).moved, H100)) / 16
        alone = one.alone + (one.images - 16) * each
        assert efficiency(alone, one.reducing) == pytest.approx(0.9, abs=1e-4)
