"""Two processes of two devices each, over the loopback address, are one run."""

import json
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.training import loop
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.hosts import agree, on_main, require_same, start_hosts
from vae_jax.training.metrics import read_metrics
from vae_jax.training.run import open_run

from . import tiny

MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import vae_jax.data.batches as batches
read = batches._images_of

def watched(split, rows):
    import jax
    print("rows a batch", rows.shape[1], "of host", jax.process_index(), file=sys.stderr)
    return read(split, rows)

batches._images_of = watched
import vae_jax.training.parallel
vae_jax.training.parallel.SHARDED_SIZE = 100
from vae_jax.cli import main
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_idx(tmp_path_factory.mktemp("data"))


def start(data, out, *more, data_of_second=None, out_of_second=None):
    """Both hosts; 22 images in batches of 6, which 4 devices share as 8 rows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hyper = [f"--hyper={name}={value}" for name, value in tiny.HYPER.items()]
    arguments = ["train", "digits_ae", "--batch-size=6", *hyper]
    arguments += ["--learning-rate=0.01", "--epsilon=1", *more]
    environment = tiny.environment() | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    arguments += [f"--coordinator=127.0.0.1:{port}", "--num-processes=2"]
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                MAIN,
                *arguments,
                f"--process-id={host}",
                f"--data=idx:{folder}",
                f"--out={path}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for host, folder, path in (
            (0, data, out),
            (1, data_of_second or data, out_of_second or out),
        )
    ]


def ends(processes):
    return [
        (process.returncode, *told)
        for process, told in [(p, p.communicate(timeout=100)) for p in processes]
    ]


@pytest.mark.slow
def test_two_hosts_train_what_one_device_does_each_reading_its_own_rows(data, tmp_path):
    """Under pmap, on a mesh with divided parameters, on a plain mesh, and under pmap again.

    Standard output is JSON, of host 0, whatever Gloo writes there.
    """
    one = tiny.run_of(tmp_path / "one", batch_size=6, epsilon=1.0, epochs=4)
    on_one_device = loop.train(one, tiny.dataset_of())
    out = tmp_path / "run"
    ways = [("pmap", 1, 4), ("sharded", 2, 3), ("sharded", 1, 4), ("pmap", 1, 4)]
    for epochs, (way, axis, rows) in enumerate(ways, 1):
        options = [f"--epochs={epochs}", f"--parallel={way}", f"--model-axis={axis}", "--json"]
        options += ["--checkpoint-every=2"]
        both = ends(start(data, out, *options, *["--resume"] * (epochs > 1)))
        for host, (status, said, errors) in enumerate(both):
            assert status == 0, errors
            assert f"rows a batch {rows} of host {host}" in errors
            assert (f"epoch {epochs}:" in errors) == (host == 0)
            if host > 0:
                assert said == ""
                continue
            printed = json.loads(said)
            assert printed["run"] == str(out)
            assert printed["epochs"] == read_metrics(open_run(out))
            assert [record["step"] for record in printed["epochs"]] == [4, 8, 12, 16][:epochs]
    found = load_run_state(out / "checkpoints").params
    for one, other in zip(*map(jax.tree.leaves, (found, on_one_device.state.params)), strict=True):
        other = np.asarray(other)
        assert np.abs(one - other).max() <= 5e-5 * np.abs(other).max()


@pytest.mark.slow
def test_another_run_folder_on_one_host_ends_both_in_the_same_line(data, tmp_path):
    one, two = tmp_path / "run", tmp_path / "another"
    for status, said, errors in ends(start(data, one, "--json", out_of_second=two)):
        assert (status, said) == (1, "")
        # Gloo may say at any time that the hosts are connected.
        *_, line = (line for line in errors.splitlines() if not line.startswith("[Gloo]"))
        assert line == (
            f"error: --out is {one} on host 0 and {two} on host 1; expected the same on every host"
        )
    assert not one.exists()
    assert not two.exists()


@pytest.mark.slow
def test_a_signal_to_one_host_stops_both_saved_and_an_error_of_one_is_an_error_of_both(
    data, tmp_path
):
    out = tmp_path / "run"
    both = start(data, out, "--epochs=1000000")
    assert both[0].stderr is not None
    while not both[0].stderr.readline().startswith("epoch 2:"):
        assert both[0].poll() is None
    both[1].send_signal(signal.SIGTERM)
    told = ends(both)
    step = int(load_run_state(out / "checkpoints").step)
    for status, _, errors in told:
        assert status == 75, errors
        assert f"saved at step {step}; go on with --resume" in errors
    for status, _, errors in ends(start(data, out, "--epochs=1")):
        assert status == 1
        assert "already holds a run" in errors


@pytest.mark.slow
def test_what_one_host_alone_lacks_ends_both_at_once_in_a_line(data, tmp_path):
    one, two = ends(start(data, tmp_path / "run", data_of_second=tmp_path / "nowhere"))
    for (status, _, errors), begin in (
        (one, "error: host 1 stopped: DataError: "),
        (two, "error: "),
    ):
        assert status == 1
        *_, line = errors.splitlines()
        assert line.startswith(begin)
        assert "there is no folder" in line


def test_an_address_without_a_port_is_refused():
    with pytest.raises(UserError, match="--coordinator nonsense; expected HOST:PORT"):
        start_hosts("nonsense", 2, 0)


def test_alone_a_host_agrees_with_itself():
    assert agree(True, False, 3) == (True, False, 3)
    assert on_main(lambda: 5) == 5
    require_same("--out", "anywhere")


def test_half_the_names_of_a_hand_made_cluster_are_not_enough():
    with pytest.raises(UserError, match="go together"):
        start_hosts("127.0.0.1:1", 2)
