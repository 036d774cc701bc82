"""Batches shared by hosts: the parts in turn are the whole, and no host reads another's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.data import Split, iterate_batches
from vae_jax.errors import DataError


def numbered(num_examples):
    images = np.arange(num_examples, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Split(images, np.arange(num_examples, dtype=np.int32))


@settings(max_examples=40, deadline=None)
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
