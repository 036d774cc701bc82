"""Many inputs in processes of their own: each is counted, and one that hangs or dies is kept."""

import subprocess
import sys
from pathlib import Path

from . import campaign, trial
from .campaign import Tally, try_reader, wait_for
from .cases import load_case, save_case
from .trial import Outcome, write_case

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_readers.py"


def test_a_process_counts_every_input(tmp_path):
    tally = try_reader("images", 60, tmp_path)
    assert tally.tried == tally.accepted + tally.refused == 60
    assert tally.faults == {}
    assert tally.seconds < trial.MAX_SECONDS


def test_a_process_that_stands_still_or_dies_is_seen(tmp_path):
    growing = tmp_path / "outcomes"
    growing.touch()
    still = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with still:
        assert wait_for(still, growing, 0.1) == "went no further"
    with subprocess.Popen([sys.executable, "-c", "import os; os.abort()"]) as dead:
        assert wait_for(dead, growing, 60.0) == "ended with status -6"


def test_the_file_that_a_process_died_at_is_kept_and_the_others_are_tried(tmp_path, monkeypatch):
    good = Outcome(True, None, "", 0.0, 0)

    def die_at_the_fourth(order, folder):
        _, start, stop, *_ = order
        if start > 0:
            return [good] * (stop - start), None
        write_case({"text": b"5"}, folder / "case")
        return [good] * 3, "ended with status -6"

    monkeypatch.setattr(campaign, "_run_process", die_at_the_fourth)
    path = tmp_path / "images-3.zip"
    expected = Tally(tried=10, accepted=9, faults={path: "ended with status -6"})
    assert try_reader("images", 10, tmp_path) == expected
    assert load_case(path) == {"text": b"5"}


def test_a_saved_failure_is_replayed_with_its_verdict(tmp_path):
    path = tmp_path / "case.zip"
    save_case({"text": b"gaussian:1e999"}, path)
    assert load_case(path) == {"text": b"gaussian:1e999"}
    command = [sys.executable, SCRIPT, "--replay", path, "--reader", "corruption"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "refused: corruption gaussian by inf" in done.stdout
