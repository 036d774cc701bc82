"""The judge of readers can condemn: each breach of the contract, made on purpose, is seen."""

import mmap
import os
import pickle
import random
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.fuzzing import campaign, trial
from vae_jax.fuzzing.campaign import load_case, save_case, try_reader
from vae_jax.fuzzing.cases import make_case, real_cases
from vae_jax.fuzzing.containers import CONTAINERS
from vae_jax.fuzzing.mutations import MAX_SIZE, damage
from vae_jax.fuzzing.readers import READERS, Reader

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_readers.py"
CASE = {"a.bin": b"bytes", "b/c.bin": b""}


def judged(tmp_path, read):
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
    assert fault in judged(tmp_path, read).fault


def test_a_long_wait_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MAX_SECONDS", 0.01)
    assert judged(tmp_path, lambda folder: sum(range(3_000_000)) * 0 + 3).fault.startswith(
        "took 0."
    )


def test_a_value_and_a_refusal_are_no_faults(tmp_path):
    good = judged(tmp_path, lambda folder: 3)
    refused = judged(tmp_path, lambda folder: refuse("is damaged"))
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


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("arrays", "parity bundle"),
        ("zip", "torch zip"),
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


def test_a_campaign_in_a_process_counts_every_input():
    tally = try_reader("images", 60)
    assert tally.tried == tally.accepted + tally.refused == 60
    assert tally.faults == {}
    assert tally.seconds < trial.MAX_SECONDS


def test_a_process_that_stands_still_or_dies_is_a_failure(tmp_path):
    told = tmp_path / "told"
    still = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with still:
        assert "went no further" in campaign._wait(still, told, 0.2)
    with subprocess.Popen([sys.executable, "-c", "import os; os.abort()"]) as dead:
        assert "status -6" in campaign._wait(dead, told, 60.0)


def test_a_saved_failure_is_replayed_with_its_verdict(tmp_path):
    path = tmp_path / "case.zip"
    save_case({"text": b"gaussian:1e999"}, path)
    assert load_case(path) == {"text": b"gaussian:1e999"}
    command = [sys.executable, SCRIPT, "--replay", path, "--reader", "corruption"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "refused: corruption gaussian by inf" in done.stdout
