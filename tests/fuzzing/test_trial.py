"""The checker of readers can fail: each breach of the contract, made on purpose, is seen."""

import mmap
import os
import pickle
import random
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest

from vae_jax.errors import UserError

from . import trial
from .cases import make_case
from .containers import CONTAINERS
from .mutations import MAX_SIZE, damage
from .readers import READERS, Reader, real_cases

CASE = {"a.bin": b"bytes", "b/c.bin": b""}


def attempt_with(tmp_path, read):
    reader = Reader(lambda: [CASE], read, lambda value: value == 3)
    return trial.attempt(reader, CASE, tmp_path / "case")


def refuse(message):
    raise UserError(message)


class Unlined(UserError):
    def __str__(self):
        return "two\nlines"


class Long(UserError):
    def __str__(self):
        return "x" * 2000


def unlined(folder):
    raise Unlined


def long(folder):
    raise Long


def warn(folder):
    warnings.warn("beware", stacklevel=1)
    return 3


def unpickle(folder):
    return len(pickle.loads(b"\x80\x02cos\nsystem\n."))


def start(folder):
    try:
        subprocess.run([sys.executable, "--version"], check=True)
    except Exception:
        return 3
    return 3


def take_memory(folder):
    memory = mmap.mmap(-1, 160 << 20)  # new from the system, whatever the heap has kept
    np.frombuffer(memory, np.uint8)[:] = 1
    return 3


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (lambda folder: 4, "returned int"),
        (lambda folder: {}[0], "raised KeyError at test_trial.py"),
        (lambda folder: refuse(""), "not one line: ''"),
        (unlined, "not one line"),
        (long, "2000 characters"),
        (warn, "warned: UserWarning: beware"),
        (unpickle, "pickle.find_class"),
        (start, "subprocess.Popen"),
        (take_memory, "MB of memory"),
    ],
)
def test_a_breach_of_the_contract_is_seen(tmp_path, read, fault):
    if read is take_memory and not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system cannot measure anew")
    assert fault in attempt_with(tmp_path, read).fault


def test_a_long_wait_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MAX_SECONDS", 0.01)
    outcome = attempt_with(tmp_path, lambda folder: sum(range(3_000_000)) * 0 + 3)
    assert "took 0." in str(outcome.fault)


def test_a_value_and_a_refusal_are_no_faults(tmp_path):
    good = attempt_with(tmp_path, lambda folder: 3)
    refused = attempt_with(tmp_path, lambda folder: refuse("is damaged"))
    assert (good.accepted, good.fault, good.message) == (True, None, "")
    assert (refused.accepted, refused.fault, refused.message) == (False, None, "is damaged")
    assert sorted(p.name for p in (tmp_path / "case").rglob("*.bin")) == ["a.bin", "c.bin"]


def test_the_same_number_is_the_same_damage_within_the_size():
    seeds = real_cases("idx gzip")
    cases = [make_case(READERS["idx gzip"], seeds, random.Random(n % 50)) for n in range(100)]
    assert cases[:50] == cases[50:]
    assert sum(case != seeds[0] for case in cases) > 80
    words = (b"word" * 10_000,)
    assert all(len(damage(random.Random(n), b"1" * 5000, words)) <= MAX_SIZE for n in range(300))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("arrays", "parity bundle"),
        pytest.param("zip", "torch zip", marks=pytest.mark.torch),
        ("gzip", "idx gzip"),
        ("safetensors", "safetensors"),
        ("png", "png"),
    ],
)
def test_a_container_packed_again_is_accepted_and_holds_the_parts(tmp_path, kind, name):
    container = CONTAINERS[kind]
    for case in real_cases(name):
        for file, content in case.items():
            parts = container.unpack(content)
            packed = container.pack(parts)
            assert container.unpack(packed) == parts
            assert trial.attempt(READERS[name], case | {file: packed}, tmp_path / "x").accepted


def test_a_part_of_a_png_has_a_right_checksum_after_damage():
    (case, *_) = real_cases("png")
    parts = CONTAINERS["png"].unpack(case["a.png"])
    packed = CONTAINERS["png"].pack(parts | {"0 IHDR": bytes(13)})
    assert packed[29:33] == zlib.crc32(b"IHDR" + bytes(13)).to_bytes(4, "big")
