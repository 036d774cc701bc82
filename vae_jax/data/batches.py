"""Batches of constant shape, in an order that depends only on the seed and the epoch.

A run that stops within an epoch can thus resume with its next batch without saving any shuffling
state. The tutorials keep their last partial batch (PyTorch's DataLoader) or drop it
(``// batchsize``, tutorial 004); if kept, it is padded and masked, because another shape would
compile the step again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.decode import Pictures
from vae_jax.errors import DataError


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits the examples.

    Args:
        num_examples: the number of examples.
        seed: any integer.
        epoch: the number of the epoch, 0 or more.

    Returns:
        A permutation of 0 .. num_examples - 1, int64 [N]. It is the same on any machine and with
        any NumPy: NEP 19 freezes NumPy's raw random words, but not its shuffles.
    """
    sequence = np.random.SeedSequence(seed % 2**64, spawn_key=(epoch,))
    return np.argsort(np.random.PCG64(sequence).random_raw(num_examples), kind="stable")


def num_batches(num_examples: int, batch_size: int, drop_remainder: bool) -> int:
    """Return the number of batches of an epoch, with the last partial one unless it is dropped.

    Raises:
        DataError: ``batch_size`` is less than 1, or there would be no batch.

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
    """Return which examples the batches of an epoch hold.

    Returns:
        The numbers of the examples, int64 [batches, width], each row padded with its first one to
        ``width`` (default: the batch size); and a mask, float32 of the same shape, 1 for an example
        and 0 for padding, or None if no row was padded.

    Raises:
        DataError: as in ``num_batches``.
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
    """Iterate over the batches of one epoch, each example once.

    Args:
        split: the examples.
        batch_size: examples per batch; every batch has this many rows.
        seed: determines the order, with ``epoch``.
        epoch: determines the order, with ``seed``.
        drop_remainder: leave out the examples that do not fill a batch.
        start: skip the epoch's batches before this one.
        shard: (index, count): yield and read only the rows of host ``index`` of ``count``, which
            share each batch equally and in order.
        width: rows per batch over all hosts, if more than ``batch_size``.

    Yields:
        "image" uint8 [B, H, W, C], "label" int32 [B] and, if any batch of the epoch was padded,
        "mask" float32 [B]: 1 for an example and 0 for padding, which repeats the first row of its
        batch. B is the width divided by the number of hosts.

    Raises:
        DataError: when called, as in ``num_batches``, or if ``start`` or the host does not exist or
            the hosts cannot share a batch equally.
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
    """Yield the images of each row of numbers; those of ``stream:`` are decoded ahead."""
    if isinstance(split.images, Pictures):
        yield from split.images.batches(rows)
    else:
        for chosen in rows:
            yield split.images[chosen]


def first_of_each_class(split: Split, num_classes: int = 10) -> np.ndarray:
    """Find one example of each class, as the tutorial does (002, listing 7.2).

    Its loop goes through the test set once: it looks for the first 0, then for the next 1, then
    for the next 2, so these are not the first examples of their classes. If the set ends before the
    last class is found, the first example of each class is used instead.

    Returns:
        Their indices, int64 [num_classes], in the order of the classes.

    Raises:
        DataError: a class has no example.
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
            f"no example of class {', '.join(map(str, missing))}: expected at least one of each of"
            f" {num_classes} classes"
        )
    return np.array([found[label] for label in range(num_classes)], np.int64)
