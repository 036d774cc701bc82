"""What summing gradients over many devices should cost: a model on paper, not a measurement.

An all-reduce of b bytes over n devices in a ring sends 2 (n - 1) / n of b over each link, in
2 (n - 1) turns (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
workstations", 2009). Two trees that share the work (Sanders, Speck and Traeff, "Two-tree algorithms
for full bandwidth broadcast, reduction and scan", 2009) send 2 b, in 2 log2(n) turns. On two levels
the devices of a node sum in a ring, each then sums its part over the nodes, and the node gathers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Fabric:
    """Accelerators and what joins them; every number is an assumption, from its maker's paper.

    Attributes:
        name: of the whole.
        node: devices that the inner links join.
        inner: bytes a second that a device sends over the inner links.
        outer: bytes a second that a device sends to other nodes.
        inner_latency: seconds a turn within a node.
        outer_latency: seconds a turn between nodes.
        flops: peak FLOP a second of a device.
        memory: bytes a second of its memory.
        utilisation: share of ``flops`` that a step is taken to reach.
        sources: of all of these.
    """

    name: str
    node: int
    inner: float
    outer: float
    inner_latency: float
    outer_latency: float
    flops: float
    memory: float
    utilisation: float
    sources: str


H100 = Fabric(
    name="H100",
    node=8,
    inner=450e9,
    outer=50e9,
    inner_latency=2.5e-6,
    outer_latency=7.5e-6,
    flops=495e12,
    memory=3.35e12,
    utilisation=0.3,
    sources=(
        "NVIDIA H100 SXM data sheet: NVLink 900 GB/s in both directions together, HBM3 3.35 TB/s, "
        "TF32 989 TFLOP/s with sparsity, so 495 without; DGX H100 user guide: 8 devices a node, a "
        "400 Gb/s InfiniBand port for each; latencies: of the order of hwLat in NCCL's tuning.cc "
        "(LL128: 1.9 and 2.5 us over NVLink, 2.5 and 7.5 us over a network); utilisation: a guess"
    ),
)
TPU_V5E = Fabric(
    name="TPU v5e",
    node=16,
    inner=50e9,
    outer=50e9,
    inner_latency=1e-6,
    outer_latency=1e-6,
    flops=197e12,
    memory=819e9,
    utilisation=0.3,
    sources=(
        "Google Cloud's page on TPU v5e: 197 TFLOP/s in bfloat16, HBM 819 GB/s, interconnect 1,600 "
        "Gb/s a chip, so 50 GB/s for each of the four links of a 2D torus, of which one is counted "
        "(a row of 16 is the node here); latency a hop and utilisation: guesses"
    ),
)
FABRICS = {fabric.name: fabric for fabric in (H100, TPU_V5E)}


def ring(size: float | int, devices: int, bandwidth: float | int, latency: float | int) -> float:
    """Seconds of an all-reduce in a ring.

    >>> ring(100.0, 4, bandwidth=50.0, latency=0.5)
    6.0
    """
    return 2 * (devices - 1) / devices * size / bandwidth + 2 * (devices - 1) * latency


def tree(size: float | int, devices: int, bandwidth: float | int, latency: float | int) -> float:
    """Seconds of an all-reduce over two trees that share the bytes, piece after piece.

    >>> tree(100.0, 4, bandwidth=50.0, latency=0.5)
    6.0
    """
    if devices == 1:
        return 0.0
    return 2 * size / bandwidth + 2 * math.ceil(math.log2(devices)) * latency


def two_levels(size: float | int, devices: int, fabric: Fabric) -> float:
    """Seconds of an all-reduce: rings within the nodes, and between them for each device's part."""
    inner = min(devices, fabric.node)
    within = ring(size, inner, fabric.inner, fabric.inner_latency)
    return within + ring(size / inner, devices // inner, fabric.outer, fabric.outer_latency)


def _flat(way: Callable[..., float]) -> Callable[[float, int, Fabric], float]:
    """Of a way that does not know of nodes: the slowest link is every link."""

    def seconds(size: float | int, devices: int, fabric: Fabric) -> float:
        if devices <= fabric.node:
            return way(size, devices, fabric.inner, fabric.inner_latency)
        return way(size, devices, fabric.outer, fabric.outer_latency)

    return seconds


WAYS: dict[str, Callable[[float, int, Fabric], float]] = {
    "ring": _flat(ring),
    "tree": _flat(tree),
    "two levels": two_levels,
}
"""How an all-reduce goes -> seconds of ``(bytes, devices, fabric)``."""


def step_seconds(flop: float | int, moved: float | int, fabric: Fabric) -> float:
    """Seconds that a device should take for a step by itself: its products at the utilisation,
    then its passes over the weights at the memory's speed."""
    return flop / (fabric.flops * fabric.utilisation) + moved / fabric.memory


def efficiency(alone: float | int, reducing: float | int, overlap: float = 0.0) -> float:
    """Speed of a device among many over its speed alone, the work of each staying the same.

    Args:
        alone: seconds of a step on one device.
        reducing: seconds of the all-reduce.
        overlap: share of the step behind which the all-reduce can hide.

    >>> efficiency(3.0, 1.0), efficiency(3.0, 1.0, overlap=0.5)
    (0.75, 1.0)
    """
    return alone / (alone + max(reducing - overlap * alone, 0.0))


def images_needed(
    reducing: float | int, fixed: float | int, per_image: float | int, wanted: float = 0.9
) -> int:
    """Images a device and step from which on the efficiency is as wanted, nothing overlapping.

    Args:
        reducing: seconds of the all-reduce.
        fixed: seconds of a step that no image adds to: passes over the weights.
        per_image: seconds an image.
        wanted: the efficiency.
    """
    return max(math.ceil((reducing * wanted / (1 - wanted) - fixed) / per_image), 1)


class Expected(NamedTuple):
    """What training should come to, each device having the recipe's batch.

    Attributes:
        model: one of ``vae_jax.MODELS``.
        batch_size: of a device.
        devices: that sum their gradients.
        way: one of ``WAYS``.
        alone: seconds of a step without the others.
        reducing: seconds of the all-reduce.
        efficiency: with nothing overlapping.
        overlapping: the efficiency with the all-reduce behind the gradients, two thirds of a step.
        images: a device, for an efficiency of 90 % with nothing overlapping.
    """

    model: str
    batch_size: int
    devices: int
    way: str
    alone: float
    reducing: float
    efficiency: float
    overlapping: float
    images: int


def expect(model: str, devices: int, fabric: Fabric) -> list[Expected]:
    """A model's training step on so many devices, by each way of the all-reduce."""
    from vae_jax.benchmark.tasks import make_task
    from vae_jax.benchmark.traffic import expected_bytes
    from vae_jax.benchmark.work import cost_of

    task = make_task(model)
    cost, size = cost_of(task), task.batch_size
    alone = step_seconds(cost.flop, cost.moved, fabric)
    fixed = step_seconds(0.0, cost.moved, fabric)
    found = []
    for way, reduce in WAYS.items():
        reducing = reduce(expected_bytes(model), devices, fabric)
        shares = efficiency(alone, reducing), efficiency(alone, reducing, 2 / 3)
        images = images_needed(reducing, fixed, (alone - fixed) / size)
        found.append(Expected(model, size, devices, way, alone, reducing, *shares, images))
    return found
