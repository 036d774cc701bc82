"""The seconds of XLA's compiler are seen, and told apart from those of training."""

import jax

from vae_jax.training.compile_time import compile_seconds
from vae_jax.training.progress import Progress

RECORD = {"epoch": 1, "loss": 2.0, "seconds": 5.0}


def test_what_is_compiled_counts_once():
    before = compile_seconds()
    double = jax.jit(lambda x: 2 * x)
    double(1.0)
    compiled = compile_seconds()
    assert compiled > before
    double(2.0)
    assert compile_seconds() == compiled


def test_the_line_of_an_epoch_leaves_compiling_out_of_the_rate(capsys):
    progress = Progress(1, num_steps=20, start=4)
    progress.report(RECORD | {"compile_seconds": 3.0})
    progress.report(RECORD | {"compile_seconds": 0.0})
    first, second = capsys.readouterr().err.splitlines()
    assert first == "epoch 1: loss 2.0000 (2.0 s after 3.0 s of compiling, 8.0 steps/s)"
    assert second == "epoch 1: loss 2.0000 (5.0 s, 3.2 steps/s)"
