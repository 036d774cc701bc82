"""What a process holds: looked at, and the line through it."""

import os
import sys
import threading

import numpy as np
import pytest
from resources import Sample, Sampler, growth, look

reads_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def samples_of(resident, handles=lambda step: 5):
    return [
        Sample(step, 0.0, int(resident(step)), handles(step), 1)
        for step in range(0, 10_100, 100)
        for _ in range(3)
    ]


def test_a_line_is_found_again():
    slope, handles, error = growth(samples_of(lambda n: 1e9 + 512 * n, lambda n: n // 100))
    assert slope == pytest.approx(512_000)
    assert handles == pytest.approx(10)
    assert error == pytest.approx(0, abs=1)


def test_how_a_process_comes_to_its_size_does_not_count():
    slope, _, _ = growth(samples_of(lambda n: 1e9 if n >= 2000 else n))
    assert slope == pytest.approx(0, abs=1e-6)


def test_the_error_covers_noise():
    random = np.random.default_rng(0)
    slope, _, error = growth(samples_of(lambda n: 1e9 + random.normal(0, 1e6)))
    assert abs(slope) < 2 * error


@reads_proc
def test_an_open_file_is_one_more_handle():
    before = look()[1]
    with open(os.devnull):
        assert look()[1] == before + 1
    assert look()[1] == before


@reads_proc
def test_the_sampler_looks_by_itself_and_stops():
    with Sampler(every=0.001) as sampler:
        sampler.step = 7
        seen = threading.Event()
        while not (sampler.samples and sampler.samples[-1].step == 7):
            seen.wait(0.001)
    assert not any(t.name == "vae_jax sampler" for t in threading.enumerate())
    assert sampler.samples[-1].handles > 0
