"""Decoding by processes: the pictures, the order and the errors of the threads; nothing left."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import decode
from vae_jax.data.decode import decode_pictures
from vae_jax.errors import DataError

SHAPE = (6, 6, 3)


@pytest.mark.slow
def test_processes_give_what_threads_give_and_end_with_an_error(tmp_path):
    pytest.importorskip("grain")
    random = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(40)]  # three chunks, the last one not full
    for name in names:
        pixels = random.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / names[39]).write_bytes(b"<html>")
    threads = decode_pictures("folder:x", tmp_path, names, SHAPE, num_processes=0)
    processes = decode_pictures("folder:x", tmp_path, names, SHAPE, num_processes=2)
    for _ in range(32):
        found = next(processes)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, next(threads))
    with pytest.raises(DataError) as caught:
        next(processes)
    with pytest.raises(DataError) as expected:
        list(threads)
    assert str(caught.value) == str(expected.value)
    assert not hasattr(caught.value, "__notes__")
    assert multiprocessing.active_children() == []


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
from vae_jax.data import decode, open_dataset
print("run", flush=True)
decode.PROCESS_PICTURES = decode.PROCESS_CORES = decode.MAX_PROCESSES = 1
whole = decode.decode_pictures
def told(*args, **settings):
    for image in whole(*args, **settings):
        print("decoded", flush=True)
        yield image
decode.decode_pictures = told
open_dataset("folder:" + sys.argv[1], (6, 6, 3))
"""


def interrupted(command):
    """The process, output and errors of a command that is sent Ctrl-C after its first picture."""
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=pathlib.Path(decode.__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "run\n"
        assert process.stdout.readline() == "decoded\n"
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    return process, output, errors


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="sends the signal to a process group")
def test_an_interrupt_leaves_no_half_entry_and_no_process(tmp_path, cache):
    """Of a script without a guard for its main part, which the processes must not run again."""
    pytest.importorskip("grain")
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    PIL.Image.new("RGB", (700, 700)).save(tmp_path / "0.png")
    for number in range(3000):
        os.link(tmp_path / "0.png", tmp_path / "pictures" / "a" / f"{number}.png")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process, output, errors = interrupted([sys.executable, script, tmp_path / "pictures"])
    assert process.returncode == -signal.SIGINT
    assert "run" not in output
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1
    assert list(cache.iterdir()) == []
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process outlived the interrupted one")


@pytest.mark.parametrize(
    ("cores", "pictures", "expected"),
    [(64, 20_000, 16), (8, 20_000, 8), (7, 10**6, 0), (64, 19_999, 0), (1, 10**6, 0)],
)
def test_processes_are_started_where_they_pay(monkeypatch, cores, pictures, expected):
    monkeypatch.setattr(decode, "num_cores", lambda: cores)
    monkeypatch.setattr(decode.importlib.util, "find_spec", lambda name: name == "grain")
    assert decode._processes_for(pictures) == expected
    monkeypatch.setattr(decode.importlib.util, "find_spec", lambda name: None)
    assert decode._processes_for(pictures) == 0
