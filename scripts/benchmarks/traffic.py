"""What the devices of a compiled step send each other, counted in its optimized HLO.

Counted are the operands of the collective operations, as XLA's text names them: those in fusions,
in loops (times their trip count, where XLA knows it) and in the dearest branch of a conditional;
of an asynchronous pair the start alone. Beside the count stands what it should be.
"""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple

_KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*-> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+)(?:e\w+)?\[([\d,<=]*)\]")
_CALLED = re.compile(
    r"\b(calls|to_apply|body|condition|branch_computations|true_computation|false_computation)"
    r"=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r"known_trip_count\D*(\d+)")
_MESH_AXIS = re.compile(r"'(\w+)'(?:=(\d+))?")


class Collective(NamedTuple):
    """A collective operation of a compiled program, as one device runs it.

    Attributes:
        kind: such as ``all-reduce``.
        operand: bytes that a device puts in.
        group: how many devices take part.
        times: how often a run of the program comes to it.
    """

    kind: str
    operand: int
    group: int
    times: int = 1

    @property
    def sent(self) -> float:
        """Bytes that a device sends each time, where the devices stand in a ring."""
        n = max(self.group, 1)
        shares = {
            "all-reduce": 2 * (n - 1) / n,
            "all-gather": float(n - 1),  # its own part, and those that it hands on
            "reduce-scatter": (n - 1) / n,
            "all-to-all": (n - 1) / n,
        }
        return self.operand * shares.get(self.kind, 1.0)


class _Instruction(NamedTuple):
    shape: str
    operation: str
    operands: tuple[str, ...]
    rest: str


def collectives(hlo: str) -> list[Collective]:
    """The collective operations of a program.

    Args:
        hlo: its optimized text, ``jax.jit(f).lower(...).compile().as_text()``.

    Returns:
        Those that one device runs, in the order of the text.

    >>> program = '''
    ... HloModule example, num_partitions=4
    ... ENTRY %main (x: f32[8]) -> f32[8] {
    ...   %x = f32[8]{0} parameter(0)
    ...   ROOT %sum = f32[8]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%add
    ... }
    ... '''
    >>> collectives(program)
    [Collective(kind='all-reduce', operand=32, group=4, times=1)]
    """
    computations, entry = _parse(hlo)
    header = hlo.lstrip().partition("\n")[0]
    counts = re.findall(r"(?:num_partitions|replica_count)=(\d+)", header)
    return _of(entry, computations, math.prod(map(int, counts)))


def total_bytes(found: list[Collective], kind: str | None = None) -> int:
    """Bytes that a device puts into collectives, of one kind or of all."""
    return sum(c.operand * c.times for c in found if kind in (None, c.kind))


def bytes_of(shape: str) -> int:
    """Bytes of an array, or of all arrays of a tuple.

    >>> bytes_of("(f32[2,3]{1,0}, bf16[4]{0}, pred[])")
    33
    """
    total = 0
    for kind, sizes in _ARRAY.findall(shape):
        bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind))
        total += -(-bits * math.prod(int(n.lstrip("<=")) for n in sizes.split(",") if n) // 8)
    return total


class Sizes(NamedTuple):
    """What of a model is summed over devices in a training step, in numbers.

    Attributes:
        parameters: all of them.
        divisible: those of tensors so large that a mesh's model axis divides them.
        means: batch norm's running means.
        metrics: the loss and its terms.
    """

    parameters: int
    divisible: int
    means: int
    metrics: int

    @classmethod
    @functools.cache
    def of(cls, model: str) -> Sizes:
        """Of one of ``vae_jax.MODELS``."""
        import jax

        from vae_jax.models import create_model, get_spec, init_variables
        from vae_jax.training.parallel import SHARDED_SIZE

        variables = jax.eval_shape(lambda: init_variables(create_model(model), jax.random.key(0)))
        sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
        stats = jax.tree_util.tree_leaves_with_path(variables.get("batch_stats", {}))
        means = sum(leaf.size for path, leaf in stats if "'mean'" in str(path[-1]))
        large = sum(size for size in sizes if size >= SHARDED_SIZE)
        return cls(sum(sizes), large, means, 3 if get_spec(model).variational else 2)

    def held(self, model_axis: int) -> int:
        """Parameters that a device holds where so many divide the large ones."""
        return self.parameters - self.divisible + self.divisible // model_axis


def expected_bytes(model: str, model_axis: int = 1) -> int:
    """Bytes that a device should put into all-reduces over the batch in a training step: the
    gradients of the parameters it holds; batch norm's sums of means and variances forward, and
    those of their gradients backward; the metrics."""
    sizes = Sizes.of(model)
    return 4 * (sizes.held(model_axis) + 4 * sizes.means + sizes.metrics)


def _parse(hlo: str) -> tuple[dict[str, dict[str, _Instruction]], str]:
    """Instructions by computation and name, and the entry computation's name."""
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current = "", dict[str, _Instruction]()
    for line in hlo.splitlines():
        if opened := _COMPUTATION.match(line):
            current = computations.setdefault(opened[1], {})
            if line.startswith("ENTRY "):
                entry = opened[1]
        elif found := _INSTRUCTION.match(re.sub(r"/\*.*?\*/", "", line)):
            current[found[1]] = _instruction(found[2])
    return computations, entry


def _instruction(text: str) -> _Instruction:
    """Of ``shape operation(operands), attributes``; a tuple's shape stands in brackets, too."""
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    shape, after = text[:end], text[end:].lstrip()
    operation, _, _ = after.partition("(")
    close = _closing(after, len(operation))
    operands = re.findall(r"%?([A-Za-z_][\w.\-]*)\s*(?:,|$)", after[len(operation) + 1 : close - 1])
    return _Instruction(shape, operation.strip(), tuple(operands), after[close:])


def _closing(text: str, start: int) -> int:
    """The place behind the bracket that closes the one at ``start``."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise ValueError(f"a bracket without its end: {text[start : start + 80]}")


def _of(
    name: str, computations: dict[str, dict[str, _Instruction]], devices: int
) -> list[Collective]:
    """Of a computation and those that it calls."""
    found: list[Collective] = []
    instructions = computations.get(name, {})
    for one in instructions.values():
        kind = one.operation.removesuffix("-start")
        if kind in _KINDS:
            size = sum(bytes_of(instructions[n].shape) for n in one.operands if n in instructions)
            found.append(Collective(kind, size, _group(one.rest, devices)))
            continue  # its own computations are the sum of two numbers, or itself again
        if one.operation.endswith("-done"):
            continue
        called: dict[str, list[list[Collective]]] = {}
        for role, names in _CALLED.findall(one.rest):
            inner = re.findall(r"[\w.\-]+", names)
            called.setdefault(role, []).extend(_of(n, computations, devices) for n in inner)
        branches = [
            part for role, parts in called.items() if "computation" in role for part in parts
        ]
        found += max(branches, key=total_bytes, default=[])
        trips = _TRIPS.search(one.rest) if one.operation == "while" else None
        times = int(trips[1]) if trips else 1
        for role, parts in called.items():
            if "computation" not in role:
                found += [c._replace(times=c.times * times) for part in parts for c in part]
    return found


def _group(attributes: str, devices: int) -> int:
    """How many devices take part, by the three ways in which XLA writes their groups."""
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", attributes):
        return len(listed[1].split(","))
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]", attributes):
        return int(iota[1])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", attributes):
        sizes = dict(_MESH_AXIS.findall(mesh[1]))
        return math.prod(int(sizes[axis]) for axis, _ in _MESH_AXIS.findall(mesh[2]))
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", attributes):
        return pairs[1].count("{")
    return devices
