"""Pickles that try to run something or to exhaust the reader, in each container."""

import struct

import pytest
from hostile import CONTAINERS, in_torchscript, in_zip, refusal, text

from vae_jax.convert.pickle import machine

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
    "numpy.fromfile": ("numpy.core.multiarray", "fromfile", "{}"),
    "new numpy.fromfile": ("numpy._core.multiarray", "fromfile", "{}"),
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


def assert_refused(tmp_path, content, canary):
    message = refusal(tmp_path, content)
    assert "refused, nothing was run" in message
    assert not canary.exists()


# The machine and each container's table of globals are two things: who is called, in what form and
# in which container do not depend on each other.
@pytest.mark.parametrize("call", CALLS)
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(tmp_path, call):
    module, name, argument = CALLS[call]
    canary = tmp_path / "canary"
    content = b"\x80\x04" + FORMS["REDUCE"](module, name, argument.format(canary))
    for wrap in (in_zip, in_torchscript):  # each has a table of its own
        assert_refused(tmp_path, wrap(content), canary)
    if name == "_reconstruct":  # Paddle's table has NumPy's
        refusal(tmp_path, content)
    else:
        assert_refused(tmp_path, content, canary)
    assert not canary.exists()


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_call_runs_anything(tmp_path, form):
    canary = tmp_path / "canary"
    content = b"\x80\x04" + FORMS[form]("os", "system", f"touch {canary}")
    assert_refused(tmp_path, in_zip(content), canary)
    assert_refused(tmp_path, content, canary)


@pytest.mark.parametrize("container", CONTAINERS)
def test_no_container_runs_anything(tmp_path, container):
    canary = tmp_path / "canary"
    content = b"\x80\x04" + FORMS["REDUCE"]("os", "system", f"touch {canary}")
    assert_refused(tmp_path, CONTAINERS[container](content), canary)


def test_an_error_names_what_writes_such_pickles(tmp_path):
    content = b"\x80\x04" + FORMS["INST"]("os", "system", "true")
    assert "which torch.save never writes" in refusal(tmp_path, in_zip(content))
    assert "which paddle.save never writes" in refusal(tmp_path, content)


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


TUPLES = colliding_tuples(2 * machine.MAX_TUPLE_KEYS)


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
        pytest.param(b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", id="deep nesting"),
        pytest.param(b"\x80\x02" + b"(" * 50_000 + b".", id="only marks"),
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
            + b"NN\x86" * 20_000
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
    # The machine is the same for all containers.
    refusal(tmp_path, in_torchscript(content), little_memory=True)


@pytest.mark.parametrize(
    ("limit", "opcodes"),
    [
        ("MAX_OPCODES", b"N" * 1001),
        ("MAX_CONTAINERS", b"]" * 1001),
        ("MAX_TUPLE_KEYS", b"}(" + b"N".join(TUPLES[:1001]) + b"Nu"),
    ],
)
def test_a_pickle_over_a_limit_is_refused_and_one_within_it_is_read(
    tmp_path, monkeypatch, limit, opcodes
):
    within = b"\x80\x04" + opcodes + b"0}."
    monkeypatch.setattr(machine, limit, 1005)
    assert "expected a state dict" in refusal(tmp_path, in_zip(within))
    monkeypatch.setattr(machine, limit, 1000)
    assert "more than 1000" in refusal(tmp_path, in_zip(within))


@pytest.mark.slow
def test_a_pickle_of_two_million_steps_or_containers_is_refused(tmp_path):
    for opcode in (b"N", b"\x8f"):
        content = in_zip(b"\x80\x04" + opcode * 2_000_000 + b".")
        assert "more than" in refusal(tmp_path, content, little_memory=True)
