"""Batches: constant shapes, every example once, a resume that changes nothing, shared by hosts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.data import Split, epoch_order, first_of_each_class, iterate_batches, num_batches
from vae_jax.errors import DataError


def numbered(num_examples):
    """A split in which the label of example i is i, and so is its pixel (modulo 256)."""
    images = np.arange(num_examples, dtype=np.int64).astype(np.uint8).reshape(-1, 1, 1, 1)
    return Split(images, np.arange(num_examples, dtype=np.int32))


@settings(max_examples=30, deadline=None)
@given(
    num_examples=st.integers(1, 70),
    batch_size=st.integers(1, 90),
    seed=st.integers(-(2**63), 2**63 - 1),
    epoch=st.integers(0, 10),
)
def test_an_epoch_shows_each_example_exactly_once_in_batches_of_one_shape(
    num_examples, batch_size, seed, epoch
):
    batches = list(
        iterate_batches(numbered(num_examples), batch_size=batch_size, seed=seed, epoch=epoch)
    )
    assert len(batches) == num_batches(num_examples, batch_size, False)
    seen = []
    for batch in batches:
        assert batch["image"].shape == (batch_size, 1, 1, 1)
        assert batch["image"].dtype == np.uint8
        assert batch["label"].shape == (batch_size,)
        assert batch["label"].dtype == np.int32
        np.testing.assert_array_equal(batch["image"].ravel(), batch["label"])
        is_real = batch.get("mask", np.ones(batch_size)) == 1
        seen.extend(batch["label"][is_real].tolist())
        np.testing.assert_array_equal(batch["label"][~is_real], batch["label"][0])
    assert sorted(seen) == list(range(num_examples))
    np.testing.assert_array_equal(seen, epoch_order(num_examples, seed, epoch))


@settings(max_examples=25, deadline=None)
@given(num_examples=st.integers(1, 50), batch_size=st.integers(1, 60), drop=st.booleans())
def test_the_mask_is_in_every_batch_exactly_when_the_last_one_is_padded(
    num_examples, batch_size, drop
):
    if drop and batch_size > num_examples:
        return
    batches = list(
        iterate_batches(
            numbered(num_examples), batch_size=batch_size, seed=0, epoch=0, drop_remainder=drop
        )
    )
    remainder = num_examples % batch_size
    expected = remainder != 0 and not drop
    assert [("mask" in batch) for batch in batches] == [expected] * len(batches)
    if expected:
        assert all(batch["mask"].dtype == np.float32 for batch in batches)
        assert [int(batch["mask"].sum()) for batch in batches] == [batch_size] * (
            len(batches) - 1
        ) + [remainder]


@pytest.mark.parametrize("drop_remainder", [True, False])
def test_starting_at_any_batch_gives_the_rest_of_the_same_epoch(drop_remainder):
    def batches(start):
        return list(
            iterate_batches(
                numbered(23),
                batch_size=5,
                seed=3,
                epoch=2,
                drop_remainder=drop_remainder,
                start=start,
            )
        )

    whole = batches(0)
    assert len(whole) == (4 if drop_remainder else 5)
    for start in range(len(whole) + 1):
        rest = batches(start)
        assert len(rest) == len(whole) - start
        for found, expected in zip(rest, whole[start:], strict=True):
            assert found.keys() == expected.keys()
            for key in found:
                np.testing.assert_array_equal(found[key], expected[key])


def test_the_order_depends_on_the_seed_and_the_epoch_and_on_nothing_else():
    np.random.seed(1)  # noqa: NPY002  the global generator must not matter
    once = epoch_order(100, seed=1, epoch=2)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(once, epoch_order(100, seed=1, epoch=2))
    others = [(1, 3), (2, 2), (2, 1), (0, 2), (-1, 2), (1 + 2**32, 2), (1, 2 + 2**32)]
    orders = [tuple(epoch_order(100, seed=s, epoch=e)) for s, e in [(1, 2), *others]]
    assert len(set(orders)) == len(orders)


def test_the_order_is_the_recorded_one_on_every_machine():
    assert epoch_order(10, seed=0, epoch=0).tolist() == RECORDED_ORDER


RECORDED_ORDER = [6, 3, 8, 1, 4, 5, 9, 2, 7, 0]


def test_one_batch_larger_than_the_data_is_padded():
    (batch,) = iterate_batches(numbered(3), batch_size=8, seed=0, epoch=0)
    assert batch["mask"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 8, "drop_remainder": True}, "3 examples make no batch of 8"),
        ({"batch_size": 0}, "expected 1 or more"),
        ({"batch_size": 2, "start": 3}, "expected 0 to 2"),
        ({"batch_size": 2, "start": -1}, "expected 0 to 2"),
    ],
)
def test_what_cannot_be_iterated_is_an_error_at_the_call(arguments, words):
    with pytest.raises(DataError, match=words):
        iterate_batches(numbered(3), seed=0, epoch=0, **arguments)


def test_no_examples_make_no_batch():
    with pytest.raises(DataError, match="0 examples"):
        iterate_batches(numbered(0), batch_size=4, seed=0, epoch=0)


def test_batches_of_a_memory_map_are_ordinary_arrays(tmp_path):
    np.save(tmp_path / "images.npy", numbered(7).images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), numbered(7).labels)
    for batch in iterate_batches(mapped, batch_size=4, seed=0, epoch=0):
        assert type(batch["image"]) is np.ndarray
        np.testing.assert_array_equal(batch["image"].ravel(), batch["label"])


def labelled(*labels):
    return Split(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels, np.int32))


def test_the_scan_for_the_digits_goes_on_from_the_last_one_found_as_listing_7_2_does():
    # The first 1 comes before the first 0 and is passed over, as in the tutorial's loop.
    assert first_of_each_class(labelled(1, 2, 0, 0, 2, 1, 1, 2), 3).tolist() == [2, 5, 7]


def test_the_scan_falls_back_to_the_first_of_each_where_the_order_does_not_suffice():
    assert first_of_each_class(labelled(2, 2, 1, 0), 3).tolist() == [3, 2, 0]


def test_a_class_without_examples_is_named():
    with pytest.raises(DataError, match="no example of class 1, 3"):
        first_of_each_class(labelled(0, 2, 2), 4)


@settings(max_examples=25, deadline=None)
@given(
    num_examples=st.integers(1, 60),
    num_hosts=st.sampled_from([1, 2, 3, 8]),
    each=st.integers(1, 9),
    start=st.integers(0, 2),
    drop=st.booleans(),
)
def test_the_parts_of_all_hosts_in_turn_are_the_batch(num_examples, num_hosts, each, start, drop):
    batch_size = num_hosts * each
    num_whole = num_examples // batch_size if drop else -(-num_examples // batch_size)
    if num_whole < max(start, 1):
        return
    split = numbered(num_examples)
    how = {"batch_size": batch_size, "seed": 5, "epoch": 1, "drop_remainder": drop, "start": start}
    whole = list(iterate_batches(split, **how))
    parts = [
        list(iterate_batches(split, **how, shard=(host, num_hosts))) for host in range(num_hosts)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *shared in zip(whole, *parts, strict=True):
        for part in shared:
            assert part.keys() == batch.keys()
            assert len(part["image"]) == each
        for key, values in batch.items():
            joined = np.concatenate([part[key] for part in shared])
            np.testing.assert_array_equal(joined, values)
            assert joined.dtype == values.dtype


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        ((0, 3), "3 hosts cannot share a batch of 4 equally"),
        ((2, 2), "host 2 is not one of 2: expected 0 to 1"),
        ((-1, 2), "host -1 is not one of 2"),
        ((0, 0), "host 0 is not one of 0"),
    ],
)
def test_hosts_that_cannot_share_are_refused_at_the_call(shard, words):
    with pytest.raises(DataError, match=words) as caught:
        iterate_batches(numbered(8), batch_size=4, seed=0, epoch=0, shard=shard)
    assert "\n" not in str(caught.value)
