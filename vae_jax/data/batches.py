"""Batches: constant shapes, and an order that is a function of the seed and the epoch alone.

A run that stops within an epoch resumes with the batch after its last one: no state of the
shuffling needs saving. The tutorials keep their last partial batch (PyTorch's DataLoader) or
drop it (`// batchsize`, tutorial 004); kept, it is padded and masked, because a compiled step
would otherwise be compiled twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.decode import Pictures
from vae_jax.errors import DataError


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the examples.

    Args:
      num_examples: how many there are.
      seed: any integer.
      epoch: the number of the epoch, 0 or more.

    Returns:
      A permutation of 0 .. num_examples - 1, int64 [N]: the same on any machine and for any
      version of NumPy, whose raw random words are frozen (NEP 19) where its shuffles are not.
    """
    sequence = np.random.SeedSequence(seed % 2**64, spawn_key=(epoch,))
    return np.argsort(np.random.PCG64(sequence).random_raw(num_examples), kind="stable")


def num_batches(num_examples: int, batch_size: int, drop_remainder: bool) -> int:
    """How many batches an epoch has; the last partial one counts unless it is dropped.

    Raises:
      DataError: if `batch_size` is less than 1, or there would be no batch at all.

    >>> num_batches(70, 32, drop_remainder=False), num_batches(70, 32, drop_remainder=True)
    (3, 2)
    """
    if batch_size < 1:
        raise DataError(f"the batch size is {batch_size}: expected 1 or more")
    count = num_examples // batch_size if drop_remainder else -(-num_examples // batch_size)
    if count < 1:
        raise DataError(
            f"{num_examples} examples make no batch of {batch_size}: choose a batch size of"
            f" {max(num_examples, 1)} or less"
        )
    return count


def batch_rows(
    num_examples: int,
    batch_size: int,
    seed: int,
    epoch: int,
    drop_remainder: bool,
    width: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Finds which examples the batches of an epoch hold.

    Returns:
      Their numbers, int64 [batches, width], each filled up with its first one to `width` (default:
      the batch size); and, where one had to be, the mask, float32 of the same shape: 1 for an
      example, 0 for padding.

    Raises:
      DataError: as `num_batches`.
    """
    count = num_batches(num_examples, batch_size, drop_remainder)
    order = epoch_order(num_examples, seed, epoch)[: count * batch_size]
    missing = count * batch_size - len(order)
    rows = np.pad(order, (0, missing), constant_values=order[(count - 1) * batch_size])
    rows = rows.reshape(count, batch_size)
    mask = (np.arange(count * batch_size) < len(order)).astype(np.float32).reshape(rows.shape)
    if width is not None and width > batch_size:
        beyond = np.repeat(rows[:, :1], width - batch_size, axis=1)
        rows, mask = np.hstack([rows, beyond]), np.pad(mask, [(0, 0), (0, width - batch_size)])
    return rows, None if mask.all() else mask


def iterate_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    drop_remainder: bool = False,
    start: int = 0,
    shard: tuple[int, int] = (0, 1),
    width: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Iterates over the batches of one epoch, each example once.

    Args:
      split: the examples.
      batch_size: how many examples a batch has; every batch has exactly as many rows.
      seed: of the order.
      epoch: of the order.
      drop_remainder: leave out the examples that do not fill a batch.
      start: the first batch to give: the batches from there on are those of the whole epoch.
      shard: (index, count): host `index` of `count` gets its equal part of the rows of every batch,
        the parts of all in turn being the whole batch, and reads no other image.
      width: rows of a batch, of all hosts, where they are to be more than `batch_size`.

    Yields:
      "image" uint8 [B, H, W, C], "label" int32 [B], and, in every batch or in none, "mask"
      float32 [B]: there where a batch was padded, 1 for an example and 0 for padding, which
      repeats the first row of its batch. B is the width over the number of hosts.

    Raises:
      DataError: at the call, as `num_batches`, or if `start` lies beyond the epoch, the hosts
        cannot share a batch equally, or there is no such host.
    """
    count = num_batches(len(split), batch_size, drop_remainder)
    if not 0 <= start <= count:
        raise DataError(f"batch {start} is not one of the epoch's {count}: expected 0 to {count}")
    host, num_hosts = shard
    if not 0 <= host < num_hosts:
        raise DataError(f"host {host} is not one of {num_hosts}: expected 0 to {num_hosts - 1}")
    rows, mask = batch_rows(len(split), batch_size, seed, epoch, drop_remainder, width)
    if rows.shape[1] % num_hosts:
        raise DataError(
            f"{num_hosts} hosts cannot share a batch of {rows.shape[1]} equally: choose a batch"
            f" size that {num_hosts} divides"
        )
    share = rows.shape[1] // num_hosts
    part = np.s_[start:, host * share : (host + 1) * share]
    rows, mask = rows[part], None if mask is None else mask[part]

    def batches() -> Iterator[dict[str, np.ndarray]]:
        in_turn = _images_of(split, rows)
        with contextlib.closing(in_turn):
            for index, images in enumerate(in_turn):
                batch = {"image": images, "label": split.labels[rows[index]]}
                yield batch if mask is None else batch | {"mask": mask[index]}

    return batches()


def _images_of(split: Split, rows: np.ndarray) -> Generator[np.ndarray, None, None]:
    """Yields the images of each row of numbers, those of `stream:` decoded ahead."""
    if isinstance(split.images, Pictures):
        yield from split.images.batches(rows)
    else:
        for chosen in rows:
            yield split.images[chosen]


def first_of_each_class(split: Split, num_classes: int = 10) -> np.ndarray:
    """Finds one example of each class, as the tutorial does (002, listing 7.2).

    Its loop goes through the test set once: it looks for the first 0, from there on for a 1,
    from there on for a 2; so these are not the first examples of their classes. Where the set
    ends before the last class is found, the first example of each class is taken instead.

    Returns:
      Their indices, int64 [num_classes], in the order of the classes.

    Raises:
      DataError: if a class has no example.
    """
    in_order: list[int] = []
    for index, label in enumerate(split.labels.tolist()):
        if len(in_order) < num_classes and label == len(in_order):
            in_order.append(index)
        if len(in_order) == num_classes:
            return np.array(in_order, np.int64)
    labels, first = np.unique(split.labels, return_index=True)
    found = dict(zip(labels.tolist(), first.tolist(), strict=True))
    missing = [label for label in range(num_classes) if label not in found]
    if missing:
        raise DataError(
            f"no example of class {', '.join(map(str, missing))}: expected one of each of"
            f" {num_classes} classes"
        )
    return np.array([found[label] for label in range(num_classes)], np.int64)
