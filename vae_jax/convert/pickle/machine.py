"""A pickle reader that cannot run code.

``pickle.Unpickler`` with a guarded ``find_class`` still imports, calls, sets state, grows its memo
to any index in the file, and hashes nested tuples in exponential time. So the few dozen opcodes of
checkpoints (see ``opcodes``) are interpreted here on plain containers. Globals are looked up in an
explicit table of stand-ins, and any other global is refused. No name from a file is ever imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import TypeGuard, TypeVar, no_type_check

from vae_jax.convert.pickle.values import (
    Block,
    Construct,
    Record,
    RecordType,
    Unfinished,
    check_key,
)
from vae_jax.convert.plain import is_dict, is_list, is_set, is_tuple
from vae_jax.errors import CheckpointError

MAX_BYTES = 64 << 20  # a state dict of 10,000 tensors takes 1 MB, 320,000 steps, 70,000 containers
MAX_OPCODES = 1_000_000  # about a third of a second
MAX_CONTAINERS = 250_000  # an empty set takes one byte in the file and 216 in memory
MAX_NAME = 1024  # length of a global's name
MAX_TUPLE_KEYS = 1000  # hashes can be made to collide, so n keys can cost n * n comparisons
FindGlobal = Callable[[str, str], object]
FindPersistent = Callable[[object], object]
_Kind = TypeVar("_Kind")
_STOP = ord(".")  # the opcode that ends a pickle
_WEIGHTS: dict[type, int] = {str: 1, list: 100, tuple: 100, dict: 100, set: 100}  # rough bytes


@no_type_check  # the tests' run-time checks would take 30 times as long as the steps
@dataclass(eq=False)
class Machine:
    """The stack, the marks, the memo, and the position in the bytes."""

    data: memoryview
    position: int
    find_global: FindGlobal
    find_persistent: FindPersistent | None
    writer: str
    keep_over: int | None
    stack: list[object] = field(default_factory=list[object])
    marks: list[int] = field(default_factory=list[int])
    memo: dict[int, object] = field(default_factory=dict[int, object])
    containers: int = 0
    tuple_keys: int = 0
    copied: int = 0

    def __post_init__(self):
        self.end = min(len(self.data), self.position + MAX_BYTES)

    def run(self, steps: Mapping[int, Callable[[Machine], object]]) -> object:
        """Take the steps of all opcodes, and return the object."""
        for _ in range(MAX_OPCODES):
            opcode = self.take(1)[0]
            if opcode == _STOP:
                return self.stack.pop()
            step = steps.get(opcode)
            if step is None:
                raise CheckpointError(
                    f"its pickle holds opcode {opcode:#04x} at byte {self.position - 1}, which "
                    f"{self.writer} never writes: refused, nothing was run"
                )
            step(self)
        raise CheckpointError(
            f"its pickle takes more than {MAX_OPCODES} steps: refused; save only the state dict"
        )

    def take(self, count: int) -> memoryview:
        """Read bytes, never past the end."""
        start, stop = self.position, self.position + count
        if stop > self.end:
            raise CheckpointError(
                f"its pickle ends early: expected {count} bytes at byte {start}, found "
                f"{self.end - start} (truncated, or over {MAX_BYTES >> 20} MiB); "
                "fetch or save the file again"
            )
        self.position = stop
        return self.data[start:stop]

    def number(self, form: str) -> int:
        """Read an integer."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Read a line of text."""
        ahead = bytes(self.data[self.position : min(self.end, self.position + MAX_NAME)])
        return str(self.take(ahead.index(b"\n") + 1)[:-1], "utf-8")

    def push(self, value: object) -> None:
        """Push a value to the stack."""
        self.stack.append(value)

    def push_container(self, value: object) -> None:
        """Push one of a limited number of containers."""
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            raise CheckpointError(
                f"its pickle holds more than {MAX_CONTAINERS} containers: refused; "
                "save only the state dict"
            )
        self.stack.append(value)

    def push_string(self, count: int, encoding: str | None = None, is_text: bool = False) -> None:
        """Copy short bytes, decoded if there is an encoding; leave long ones in the file."""
        if self.keep_over is None or count <= self.keep_over:
            found = self.take(count)
            self.push(bytes(found) if encoding is None else str(found, encoding))
        else:
            self.end = min(len(self.data), self.end + count)
            self.push_container(Block(self.take(count), is_text))

    def push_old_string(self, count: int) -> None:
        """Copy or leave Python 2's str: a name, or an array's bytes."""
        self.push_string(count, "utf-8" if self.keep_over is None else "latin1")

    def since_mark(self) -> list[object]:
        """Pop what was pushed since the last mark."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> list[object]:
        """Pop a number of values."""
        items = self.stack[-count:]
        if len(items) < count:
            raise ValueError("the stack is empty")
        del self.stack[-count:]
        return items

    def top(self, is_kind: Callable[[object], TypeGuard[_Kind]]) -> _Kind:
        """Return the last value, which must be of a kind."""
        found = self.stack[-1]
        if not is_kind(found):
            raise ValueError(f"a {type(found).__name__} is filled like another container")
        return found

    def put(self, index: int) -> None:
        """Keep the last value in the memo."""
        if index > MAX_BYTES:
            raise ValueError(f"memo index {index}")
        self.memo[index] = self.stack[-1]

    def set_items(self, items: list[object]) -> None:
        """Add keys and values by turns to the dict on the stack."""
        target = self.top(is_dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: object) -> object:
        """Return a key that is cheap to hash."""
        if is_tuple(key):
            self.tuple_keys += 1
        if self.tuple_keys > MAX_TUPLE_KEYS:
            raise CheckpointError(
                f"its pickle has more than {MAX_TUPLE_KEYS} tuples as keys: refused; "
                "save only the state dict"
            )
        return check_key(key)

    def extend(self, items: list[object]) -> None:
        """Add items to the list on the stack."""
        self.top(is_list).extend(items)

    def add_items(self, items: list[object]) -> None:
        """Add items to the set on the stack."""
        self.top(is_set).update(map(self.key, items))

    def reduce(self) -> None:
        """Call a stand-in."""
        function, arguments = self.last(2)
        if not is_tuple(arguments):
            raise ValueError("the arguments of a call are not a tuple")
        # A stand-in may copy its arguments, and a few bytes can pass it the same list again.
        self.copied += sum(
            len(a) * _WEIGHTS.get(type(a), 0) for a in arguments if isinstance(a, Sized)
        )
        if self.copied > MAX_BYTES:
            raise CheckpointError("its pickle makes too many copies: refused")
        if type(function) is Construct:
            self.push_container(function.build(*arguments))
        elif type(function) is RecordType:
            self.push_container(Record(function.name))
        else:
            raise ValueError(f"a {type(function).__name__} is called")

    def build(self) -> None:
        """Give the last value its state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is Record:
            if is_dict(state):
                target.attributes = state
        elif isinstance(target, Unfinished):
            target.fill(state)
        elif type(target) is not dict:  # the state of a dict is its _metadata, which is not needed
            raise ValueError(f"a {type(target).__name__} is given a state")

    def persistent(self) -> None:
        """Push the object of a persistent id."""
        if self.find_persistent is None:
            raise ValueError("it refers to data outside itself")
        self.push_container(self.find_persistent(self.stack.pop()))

    def stack_global(self) -> None:
        """Push the stand-in whose name is on the stack."""
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("the name of a global is not a string")
        if len(module) + len(name) > MAX_NAME:
            raise ValueError("the name of a global is too long")
        self.push(self.find_global(module, name))
