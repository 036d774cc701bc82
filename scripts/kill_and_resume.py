"""Kills training with SIGKILL at random moments, resumes it, and compares the bits.

Each of the runs is killed several times: after a random time, or at a random moment while a
checkpoint is being written (its unfinished folder is there), and resumed until it ends. Its last
checkpoint and its epochs' figures must be those of a run that was left alone.

    python scripts/kill_and_resume.py --runs 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vae_jax.cli.options import setup_jax
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.metrics import read_metrics
from vae_jax.training.run import Run, open_run

RECIPE = ["--data", "digits", "--epochs", "3", "--checkpoint-every", "10", "--batch-size", "100"]


def main() -> None:
    """Prints a line for each run, and how many ended with the same bits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="conv_vae")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3, help="of each run, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    setup_jax()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vae_jax", "train", options.model, *RECIPE, "--out"]
        whole = Path(folder) / "whole"
        subprocess.run([*command, str(whole)], check=True, capture_output=True)
        expected, same, kills = outcome(whole), 0, {"at rest": 0, "while writing": 0}
        print(f"left alone: {expected['steps']} steps", flush=True)
        for number in range(1, options.runs + 1):
            path, told = Path(folder) / f"run {number}", []
            for _ in range(random.randint(1, options.kills)):
                told.append(kill([*command, str(path)], path, expected["steps"]))
            left = resume([*command, str(path)], path)
            _, errors = left.communicate()
            equal = left.returncode == 0 and outcome(path) == expected
            same += equal
            for how, _ in told:
                kills[how] = kills.get(how, 0) + 1
            when = ", ".join(f"{how} at step {step}" for how, step in told)
            verdict = "the same bits" if equal else f"DIFFERENT ({left.returncode}) {errors[-500:]}"
            print(f"run {number}: killed {when}; {verdict}", flush=True)
    print(f"{same} of {options.runs} ended with the same bits; kills: {json.dumps(kills)}")
    sys.exit(same != options.runs)


def resume(command: list[str], path: Path) -> subprocess.Popen[str]:
    """Starts a run, or goes on with it where it has one."""
    if (path / "run.json").exists():
        command = [*command, "--resume"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill(command: list[str], path: Path, steps: int) -> tuple[str, int]:
    """Starts or resumes a run and kills it; returns how, and the last whole checkpoint."""
    process = resume(command, path)
    begun, writing = last_step(path), random.random() < 0.5
    goal = random.randint(begun, max(begun, steps - 20))
    while process.poll() is None and (last_step(path) < goal or not path.exists()):
        time.sleep(0.002)
    if writing:
        while process.poll() is None and not unfinished(path):
            time.sleep(0.0002)
        time.sleep(random.uniform(0, 0.02))
    else:
        time.sleep(random.uniform(0, 1))
    if process.poll() is not None:
        return "after its end", last_step(path)
    how = "while writing" if unfinished(path) else "at rest"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return how, last_step(path)


def unfinished(path: Path) -> list[Path]:
    """Checkpoints without a name of their own yet."""
    return [place for place in (path / "checkpoints").glob("*") if not place.name.isdigit()]


def last_step(path: Path) -> int:
    """Of the last checkpoint with a name of its own; 0 for none."""
    return max(
        (int(p.name) for p in (path / "checkpoints").glob("*") if p.name.isdigit()), default=0
    )


def outcome(path: Path) -> dict[str, Any]:
    """The bits of the last checkpoint, and the epochs' figures."""
    run: Run = open_run(path)
    state = load_run_state(run.checkpoints)
    epochs = [
        {name: value for name, value in record.items() if "seconds" not in name}
        for record in read_metrics(run)
    ]
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]
    return {"steps": int(state.step), "state": leaves, "epochs": epochs}


if __name__ == "__main__":
    main()
