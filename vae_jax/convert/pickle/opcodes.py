"""Read a pickle by the opcodes that PyTorch, TorchScript, Paddle and NumPy write.

The table has those of protocols 2 to 5. Missing on purpose: opcodes that name an extension or a
class by number, make objects of classes, or copy the top of the stack, and protocols 0 and 1.

Source: CPython's ``pickletools`` defines the opcodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from vae_jax.convert.pickle.machine import FindGlobal, FindPersistent, Machine
from vae_jax.errors import CheckpointError

_STEPS: Mapping[str, Callable[[Machine], object]] = {
    # framing, marks and the memo
    "\x80": lambda m: m.take(1),
    "\x95": lambda m: m.take(8),  # a frame's length is only a hint
    "(": lambda m: m.marks.append(len(m.stack)),
    "0": lambda m: m.stack.pop(),
    "1": lambda m: m.since_mark(),
    "q": lambda m: m.put(m.take(1)[0]),
    "r": lambda m: m.put(m.number("<I")),
    "\x94": lambda m: m.put(len(m.memo)),
    "h": lambda m: m.push(m.memo[m.take(1)[0]]),
    "j": lambda m: m.push(m.memo[m.number("<I")]),
    # scalars and strings
    "N": lambda m: m.push(None),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "J": lambda m: m.push(m.number("<i")),
    "K": lambda m: m.push(m.take(1)[0]),
    "M": lambda m: m.push(m.number("<H")),
    "\x8a": lambda m: m.push(int.from_bytes(m.take(m.take(1)[0]), "little", signed=True)),
    "G": lambda m: m.push(*struct.unpack(">d", m.take(8))),
    "\x8c": lambda m: m.push_string(m.take(1)[0], "utf-8", True),
    "X": lambda m: m.push_string(m.number("<I"), "utf-8", True),
    "\x8d": lambda m: m.push_string(m.number("<Q"), "utf-8", True),
    "U": lambda m: m.push_old_string(m.take(1)[0]),
    "T": lambda m: m.push_old_string(m.number("<I")),
    "C": lambda m: m.push_string(m.take(1)[0]),
    "B": lambda m: m.push_string(m.number("<I")),
    "\x8e": lambda m: m.push_string(m.number("<Q")),
    "\x96": lambda m: m.push_string(m.number("<Q")),  # a bytearray, never modified
    # containers
    "]": lambda m: m.push_container([]),
    "a": lambda m: m.extend(m.last(1)),
    "e": lambda m: m.extend(m.since_mark()),
    ")": lambda m: m.push(()),
    "t": lambda m: m.push_container(tuple(m.since_mark())),
    "\x85": lambda m: m.push_container(tuple(m.last(1))),
    "\x86": lambda m: m.push_container(tuple(m.last(2))),
    "\x87": lambda m: m.push_container(tuple(m.last(3))),
    "}": lambda m: m.push_container({}),
    "s": lambda m: m.set_items(m.last(2)),
    "u": lambda m: m.set_items(m.since_mark()),
    "\x8f": lambda m: m.push_container(set[object]()),
    "\x90": lambda m: m.add_items(m.since_mark()),
    "\x91": lambda m: m.push_container(frozenset(map(m.key, m.since_mark()))),
    # globals and calls
    "c": lambda m: m.push(m.find_global(m.line(), m.line())),
    "\x93": lambda m: m.stack_global(),
    "R": lambda m: m.reduce(),
    "\x81": lambda m: m.reduce(),  # cls.__new__, which no stand-in distinguishes from a call
    "b": lambda m: m.build(),
    "Q": lambda m: m.persistent(),
}
_BY_NUMBER = {ord(opcode): step for opcode, step in _STEPS.items()}


def load_pickle(
    data: memoryview,
    start: int,
    find_global: FindGlobal,
    find_persistent: FindPersistent | None = None,
    *,
    writer: str = "torch.save",
    keep_over: int | None = None,
) -> tuple[object, int]:
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
    machine = Machine(data, start, find_global, find_persistent, writer, keep_over)
    try:
        return machine.run(_BY_NUMBER), machine.position
    except CheckpointError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        # A stand-in or a container refused its arguments.
        raise CheckpointError(
            f"its pickle is damaged near byte {machine.position} ({error}): expected what "
            f"{writer} writes; fetch or save the file again"
        ) from error
