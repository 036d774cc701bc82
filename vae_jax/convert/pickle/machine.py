"""A pickle reader that cannot run code.

``pickle.Unpickler`` with a guarded ``find_class`` still imports, calls, sets state, grows its memo
to any index in the file, and hashes nested tuples in exponential time. So the few dozen opcodes of
checkpoints (see ``opcodes``) are interpreted here on plain containers. Globals are looked up in an
explicit table of stand-ins, and any other global is refused. No name from a file is ever imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, no_type_check

from vae_jax.convert.pickle.opcodes import STEPS, STOP
from vae_jax.convert.pickle.values import (
    Block,
    Construct,
    Record,
    RecordType,
    Unfinished,
    check_key,
)
from vae_jax.errors import CheckpointError

MAX_BYTES = 64 << 20  # a state dict of 10,000 tensors takes 1 MB, 320,000 steps, 70,000 containers
MAX_OPCODES = 1_000_000  # about a third of a second
MAX_CONTAINERS = 250_000  # an empty set takes one byte in the file and 216 in memory
MAX_NAME = 1024  # length of a global's name
MAX_TUPLE_KEYS = 1000  # hashes can be made to collide, so n keys can cost n * n comparisons
_WEIGHTS = {str: 1, list: 100, tuple: 100, dict: 100, set: 100}  # approximate bytes per item


def load_pickle(
    data: memoryview,
    start: int,
    find_global: Callable[[str, str], Any],
    find_persistent: Callable[[Any], Any] | None = None,
    *,
    writer: str = "torch.save",
    keep_over: int | None = None,
) -> tuple[Any, int]:
    """Read one pickle of a file.

    Args:
        data: the file's bytes.
        start: where the pickle begins.
        find_global: returns the stand-in for a (module, name), or raises CheckpointError.
        find_persistent: returns the object for a persistent id; None refuses all.
        writer: the function that writes such pickles, for error messages.
        keep_over: bytes and texts longer than this stay in the file as a ``Block`` and do not count
            against ``MAX_BYTES``, and Python 2's strings are read as Latin-1; None copies all, and
            reads Python 2's strings as UTF-8.

    Returns:
        The object, and the position after the pickle.

    Raises:
        CheckpointError: the pickle holds anything but plain data and the allowed globals.
    """
    machine = _Machine(data, start, find_global, find_persistent, writer, keep_over)
    try:
        return machine.run(), machine.position
    except CheckpointError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        # A stand-in or a container refused its arguments.
        raise CheckpointError(
            f"its pickle is damaged near byte {machine.position} ({error}): expected what "
            f"{writer} writes; fetch or save the file again"
        ) from error


@no_type_check  # the tests' run-time checks would take 30 times as long as the steps
class _Machine:
    """The stack, the marks, the memo, and the position in the bytes."""

    def __init__(self, data, start, find_global, find_persistent, writer, keep_over):
        self.bytes = data
        self.position = start
        self.end = min(len(self.bytes), start + MAX_BYTES)
        self.find_global = find_global
        self.find_persistent = find_persistent
        self.writer = writer
        self.keep_over = keep_over
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0
        self.tuple_keys = 0
        self.copied = 0

    def run(self) -> Any:
        for _ in range(MAX_OPCODES):
            opcode = self.take(1)[0]
            if opcode == STOP:
                return self.stack.pop()
            step = STEPS.get(opcode)
            if step is None:
                raise CheckpointError(
                    f"its pickle holds opcode {opcode:#04x} at byte {self.position - 1}, which "
                    f"{self.writer} never writes: refused, nothing was run"
                )
            step(self)
        raise CheckpointError(
            f"its pickle takes more than {MAX_OPCODES} steps: refused; save only the state dict"
        )

    # Read bytes, never past the end.
    def take(self, count: int) -> memoryview:
        start, stop = self.position, self.position + count
        if stop > self.end:
            raise CheckpointError(
                f"its pickle ends early: expected {count} bytes at byte {start}, found "
                f"{self.end - start} (truncated, or over {MAX_BYTES >> 20} MiB); "
                "fetch or save the file again"
            )
        self.position = stop
        return self.bytes[start:stop]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        ahead = bytes(self.bytes[self.position : min(self.end, self.position + MAX_NAME)])
        return str(self.take(ahead.index(b"\n") + 1)[:-1], "utf-8")

    # Push to and pop from the stack.
    def push(self, value: object) -> None:
        self.stack.append(value)

    def push_container(self, value: object) -> None:
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            raise CheckpointError(
                f"its pickle holds more than {MAX_CONTAINERS} containers: refused; "
                "save only the state dict"
            )
        self.stack.append(value)

    # Copy short bytes and texts; leave long ones in the file.
    def push_bytes(self, count: int) -> None:
        self.push_copy_or_block(count, bytes)

    def push_text(self, count: int) -> None:
        self.push_copy_or_block(count, lambda view: str(view, "utf-8"), is_text=True)

    def push_old_text(self, count: int) -> None:  # Python 2's str: a name, or an array's bytes
        encoding = "utf-8" if self.keep_over is None else "latin1"
        self.push_copy_or_block(count, lambda view: str(view, encoding))

    def push_copy_or_block(self, count: int, copy, is_text: bool = False) -> None:
        if self.keep_over is None or count <= self.keep_over:
            self.push(copy(self.take(count)))
        else:
            self.end = min(len(self.bytes), self.end + count)
            self.push_container(Block(self.take(count), is_text))

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count:
            raise ValueError("the stack is empty")
        del self.stack[-count:]
        return items

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"a {type(self.stack[-1]).__name__} is filled like a {kind.__name__}")
        return self.stack[-1]

    def put(self, index: int) -> None:
        if index > MAX_BYTES:
            raise ValueError(f"memo index {index}")
        self.memo[index] = self.stack[-1]

    # Perform the opcodes.
    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: object) -> Any:
        if type(key) is tuple:
            self.tuple_keys += 1
        if self.tuple_keys > MAX_TUPLE_KEYS:
            raise CheckpointError(
                f"its pickle has more than {MAX_TUPLE_KEYS} tuples as keys: refused; "
                "save only the state dict"
            )
        return check_key(key)

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def add_items(self, items: list[Any]) -> None:
        self.top(set).update(map(self.key, items))

    def reduce(self) -> None:
        function, arguments = self.last(2)
        if type(arguments) is not tuple:
            raise ValueError("the arguments of a call are not a tuple")
        # A stand-in may copy its arguments, and a few bytes can pass it the same list again.
        self.copied += sum(len(a) * _WEIGHTS[type(a)] for a in arguments if type(a) in _WEIGHTS)
        if self.copied > MAX_BYTES:
            raise CheckpointError("its pickle makes too many copies: refused")
        if type(function) is Construct:
            self.push_container(function.build(*arguments))
        elif type(function) is RecordType:
            self.push_container(Record(function.name))
        else:
            raise ValueError(f"a {type(function).__name__} is called")

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is Record:
            if type(state) is dict:
                target.attributes = state
        elif isinstance(target, Unfinished):
            target.fill(state)
        elif type(target) is not dict:  # the state of a dict is its _metadata, which is not needed
            raise ValueError(f"a {type(target).__name__} is given a state")

    def persistent(self) -> None:
        if self.find_persistent is None:
            raise ValueError("it refers to data outside itself")
        self.push_container(self.find_persistent(self.stack.pop()))

    def stack_global(self) -> None:
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("the name of a global is not a string")
        if len(module) + len(name) > MAX_NAME:
            raise ValueError("the name of a global is too long")
        self.push(self.find_global(module, name))
