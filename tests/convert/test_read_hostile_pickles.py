"""Pickles that try to run something, to exhaust the reader, or lie about their tensors."""

import struct

import numpy as np
import pytest
from hostile import CONTAINERS, in_legacy, in_torchscript, in_zip, refusal, text

from vae_jax.convert.read import read_checkpoint

# --- pickles that call something ---------------------------------------------------------------

CALLS = {
    "os.system": ("os", "system", "touch {}"),
    "posix.system": ("posix", "system", "touch {}"),
    "subprocess.Popen": ("subprocess", "Popen", "touch {}"),
    "eval": ("builtins", "eval", "open('{}', 'w')"),
    "exec": ("builtins", "exec", "open('{}', 'w')"),
    "Python 2's eval": ("__builtin__", "eval", "open('{}', 'w')"),
    "open": ("builtins", "open", "{}"),
    "getattr": ("builtins", "getattr", "{}"),
    "import": ("importlib", "import_module", "antigravity"),
    "numpy.load": ("numpy", "load", "{}"),
    "numpy arrays": ("numpy.core.multiarray", "_reconstruct", "{}"),
    "new numpy arrays": ("numpy._core.multiarray", "_reconstruct", "{}"),
    "torch.load": ("torch", "load", "{}"),
    "torch.serialization.load": ("torch.serialization", "load", "{}"),
    "torch.hub.load": ("torch.hub", "load", "{}"),
    "torch.jit.load": ("torch.jit", "load", "{}"),
    "storage from bytes": ("torch.storage", "_load_from_bytes", "{}"),
    "partial": ("functools", "partial", "{}"),
    "attrgetter": ("operator", "attrgetter", "system"),
    "methodcaller": ("operator", "methodcaller", "system"),
    "pickle.loads": ("pickle", "loads", "{}"),
    "reconstructor": ("copyreg", "_reconstructor", "{}"),
    "dotted name": ("collections", "OrderedDict.fromkeys", "{}"),
    "dotted dunder": ("collections", "OrderedDict.__init__.__globals__", "{}"),
    "dotted module": ("os.path", "os.system", "touch {}"),
    "stand-in attribute": ("torch", "Size.__class__", "{}"),
    "our own code": ("vae_jax.convert.pickle.machine", "Construct", "{}"),
    "torch-like module": ("torch._utils", "_rebuild_sparse_tensor", "{}"),
    "almost scripted": ("__torch__evil", "system", "touch {}"),
}
FORMS = {
    "REDUCE": lambda m, n, a: f"c{m}\n{n}\n".encode() + text(a) + b"\x85R.",
    "STACK_GLOBAL": lambda m, n, a: text(m) + text(n) + b"\x93" + text(a) + b"\x85R.",
    "INST": lambda m, n, a: b"(" + text(a) + f"i{m}\n{n}\n.".encode(),
    "OBJ": lambda m, n, a: f"(c{m}\n{n}\n".encode() + text(a) + b"o.",
    "NEWOBJ": lambda m, n, a: f"c{m}\n{n}\n".encode() + text(a) + b"\x85\x81.",
    "NEWOBJ_EX": lambda m, n, a: f"c{m}\n{n}\n".encode() + text(a) + b"\x85}\x92.",
    "BUILD": lambda m, n, a: f"c{m}\n{n}\n".encode() + text(a) + b"b.",
    "in a dict": lambda m, n, a: b"}" + text("w") + f"c{m}\n{n}\n".encode() + text(a) + b"\x85Rs.",
    "discarded": lambda m, n, a: f"c{m}\n{n}\n".encode() + text(a) + b"\x85R0}.",
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(tmp_path, call, form, container):
    module, name, argument = CALLS[call]
    canary = tmp_path / "canary"
    content = b"\x80\x04" + FORMS[form](module, name, argument.format(canary))
    message = refusal(tmp_path, CONTAINERS[container](content))
    assert "refused, nothing was run" in message
    assert not canary.exists()


def colliding_tuples(count):
    """Opcodes of pairs of numbers that all have the same hash.

    CPython joins the hashes of a tuple's parts by sums, products and rotations, which can be
    undone: for any first number there is a second that leads to the hash that is wanted.
    """
    first, second, fifth = 11400714785074694791, 14029467366897019727, 2870177450012600261
    whole, modulus, found = (1 << 64) - 1, (1 << 61) - 1, []
    wanted = 12345 - (2 ^ fifth ^ 3527539) & whole
    middle = wanted * pow(first, -1, 1 << 64) & whole
    middle = (middle >> 31 | middle << 33) & whole
    for number in range(1, 20 * count):
        start = fifth + number * second & whole
        start = (start << 31 | start >> 33) * first & whole
        other = (middle - start) * pow(second, -1, 1 << 64) & whole
        if other < modulus and len(found) < count:  # the integers that are their own hashes
            found.append((number, other))
    assert len(found) == count
    assert len({hash(pair) for pair in found}) == 1
    return [b"".join(b"\x8a\x09" + n.to_bytes(9, "little") for n in p) + b"\x86" for p in found]


TUPLES = colliding_tuples(20_000)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x80\x02\x82\x01.", id="extension registry"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", id="bytearray8"),
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".", id="binbytes8"),
        pytest.param(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".", id="binunicode8"),
        pytest.param(b"\x80\x02B" + struct.pack("<I", 0xFFFFFFF0) + b".", id="bytes that lie"),
        pytest.param(b"\x80\x02X" + struct.pack("<I", 0xFFFFFFF0) + b".", id="text that lies"),
        pytest.param(b"\x80\x02Nr" + struct.pack("<I", 0xFFFFFFF0) + b".", id="huge memo index"),
        pytest.param(b"\x80\x04\x95" + b"\xff" * 8 + b"N.", id="frame that lies"),
        pytest.param(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", id="deep nesting"),
        pytest.param(b"\x80\x02" + b"(" * 900_000 + b".", id="only marks"),
        pytest.param(b"\x80\x02" + b"N" * 2_000_000 + b".", id="too many steps"),
        pytest.param(b"\x80\x04" + b"\x8f" * 2_000_000 + b".", id="too many sets"),
        pytest.param(b"\x80\x02}" + b"N" + b"2\x86" * 60 + b"Ns.", id="endless hash by DUP"),
        pytest.param(
            b"\x80\x02}Nq\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"h\x00Ns.", id="endless hash"
        ),
        pytest.param(
            b"\x80\x02"
            + text("a" * 1_000_000)
            + b"q\x000c_codecs\nencode\nq\x01("
            + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 1000
            + b"t.",
            id="one string copied often",
        ),
        pytest.param(
            b"\x80\x02]("
            + b"NN\x86" * 50_000
            + b"eq\x000ccollections\nOrderedDict\nq\x01("
            + b"h\x01h\x00\x85R" * 10_000
            + b"t.",
            id="one list copied many times",
        ),
        pytest.param(
            b"\x80\x02"
            + text("__torch__." + "a" * 1_000_000)
            + b"q\x000("
            + b"h\x00h\x00\x93" * 10_000
            + b"t.",
            id="one long name copied many times",
        ),
        pytest.param(b"\x80\x02}]Ns.", id="unhashable key"),
        pytest.param(b"\x80\x02}(" + b"N".join(TUPLES) + b"Nu.", id="keys whose hashes collide"),
        pytest.param(b"\x80\x04\x8f(" + b"".join(TUPLES) + b"\x90.", id="a set of them"),
        pytest.param(
            b"\x80\x02ccollections\nOrderedDict\n](" + b"N\x86".join(TUPLES) + b"N\x86e\x85R.",
            id="an ordered dict of them",
        ),
        pytest.param(b"\x80\x02" + b"s.", id="empty stack"),
        pytest.param(b"\x80\x02t.", id="no mark"),
        pytest.param(b"\x80\x02h\x05.", id="unknown memo"),
        pytest.param(b"\x80\x02N)R.", id="calling None"),
        pytest.param(b"\x80\x02X\x01\x00\x00\x00\xff.", id="no UTF-8"),
        pytest.param(b"\x80\x02cos\nsys", id="a name without an end"),
        pytest.param(b"\x80\x02c" + b"a" * 100_000 + b"\nb\n.", id="a very long name"),
        pytest.param(b"\x80\x02c\x1b[2J\nb\x07\r\n.", id="control characters"),
        pytest.param(b"\x80\x02NQ.", id="unknown persistent id"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_pickle_that_attacks_the_reader_is_refused(tmp_path, content):
    refusal(
        tmp_path, in_torchscript(content), little_memory=True
    )  # the machine is the same for all containers


# --- tensors that lie ---------------------------------------------------------------------------


def tensor_pickle(count=4, offset="K\x00", shape="(K\x04t", strides="(K\x01t", kind="Float"):
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text("0") + text("cpu")
    storage += count if isinstance(count, bytes) else b"J" + struct.pack("<i", count)
    layout = (offset + shape + strides).encode("latin1")
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + layout + b"\x89}tR"
    return b"\x80\x02}" + text("w") + call + b"s."


def long(value):
    digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return "\x8a" + chr(len(digits)) + digits.decode("latin1")


LIES = {
    "offset": {"offset": "K\x01"},
    "negative offset": {"offset": "J\xff\xff\xff\xff"},
    "offset is text": {"offset": "N"},
    "offset is true": {"offset": "\x88"},
    "shape": {"shape": "(K\x05t"},
    "huge shape": {"shape": "(" + long(2**62) + "t"},
    "huge shape that overflows": {"shape": "(" + long(2**64 + 4) + "t"},
    "huge expanded shape": {"shape": "(" + long(2**40) + "t", "strides": "(K\x00t"},
    "huge empty shape": {"shape": f"(K\x00{long(2**61)}t", "strides": "(K\x01K\x01t"},
    "negative shape": {"shape": "(J\xff\xff\xff\xfft"},
    "stride": {"strides": "(K\x02t"},
    "negative stride": {"strides": "(J\xff\xff\xff\xfft", "offset": "K\x03"},
    "float stride": {"strides": "(G?\xf0\x00\x00\x00\x00\x00\x00t"},
    "axes": {"strides": "(K\x01K\x01t"},
    "many axes": {"shape": "(" + "K\x01" * 70 + "t", "strides": "(" + "K\x01" * 70 + "t"},
    "list": {"shape": "](K\x04e"},
    "count": {"count": 5},
    "huge count": {"count": long(2**62).encode("latin1")},
    "negative count": {"count": -4},
    "count is text": {"count": b"N"},
    "unknown dtype": {"kind": "Quantized"},
    "other dtype": {"kind": "Double"},
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("lie", [None, *LIES])
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, lie, container):
    values = np.arange(4, dtype=np.float32).tobytes()
    content = tensor_pickle(**LIES.get(lie, {}))
    if container == "legacy":
        whole = in_legacy(content, ["0"], struct.pack("<q", 4) + values)
    else:
        whole = in_zip(content, **{"data/0": values})
    if lie is None:  # the honest file, so that the lies are known to be why the others fail
        (tmp_path / "a").write_bytes(whole)
        np.testing.assert_array_equal(read_checkpoint(tmp_path / "a")["w"], [0, 1, 2, 3])
    else:
        refusal(tmp_path, whole, little_memory=True)


@pytest.mark.parametrize("count", [3, 5, 2**40, 2**63, 2**64 - 1])
def test_a_legacy_storage_that_lies_about_its_size_is_refused(tmp_path, count):
    block = struct.pack("<Q", count) + bytes(16)
    assert "declares" in refusal(
        tmp_path, in_legacy(tensor_pickle(), ["0"], block), little_memory=True
    )


def test_modules_that_share_their_children_without_end_are_refused(tmp_path):
    module = b"c__torch__\nM\n)\x81}(" + text("a") + b"h\x00" + text("b") + b"h\x00ubq\x00"
    content = b"\x80\x02Nq\x00" + module * 60 + b"."
    code = b"class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n"
    files = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": code}
    assert "too many" in refusal(tmp_path, in_zip(content, **files), little_memory=True)
