"""Files with pickled arrays and what must be read from them, and pickles of arrays that lie."""

import pickle
from typing import Any

import numpy as np

RECONSTRUCT = np.zeros(1).__reduce__()[0]
FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        native = np.asarray(value, value.dtype.newbyteorder("="))
        assert (found[name].dtype, found[name].shape) == (native.dtype, native.shape), name
        assert found[name].tobytes() == native.tobytes(), name
        assert found[name].flags.aligned
        assert not found[name].flags.writeable


def written(folder, value, protocol=4):
    path = folder / "a.pdparams"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


class Made:
    """What a pickle makes of a function, its arguments and a state."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def dtype(*arguments, state: Any = (3, "<", None, None, None, -1, -1, 0)):
    return Made(np.dtype, arguments or ("f4", False, True), state)


def array(
    shape: Any = (4,),
    kind: Any = None,
    fortran: Any = False,
    content: Any = bytes(16),
    first: Any = (np.ndarray, (0,), b"b"),
):
    return Made(RECONSTRUCT, first, (1, shape, kind or dtype(), fortran, content))


def buffer(content: Any = bytes(16), kind: Any = None, shape: Any = (4,), order="C", *axes):
    return Made(FROM_BUFFER, (content, kind or dtype(), shape, order, *axes))


def endless(*, layers=60):
    """A tuple of two of a tuple of two, and so on: short in a file, endless as a text."""
    value: Any = (1, 2)
    for _ in range(layers):
        value = (value, value)
    return value
