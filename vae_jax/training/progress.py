"""Progress of training: a bar on a terminal, otherwise one line per epoch."""

from __future__ import annotations

import sys

from tqdm import tqdm

from vae_jax.training.metrics import Record


class Progress:
    """The progress of one epoch.

    Args:
        epoch: its number.
        num_steps: the number of its steps.
        start: the number of steps taken before a resume.
    """

    def __init__(self, epoch: int, num_steps: int, start: int):
        self._num_steps, self._start = num_steps, start
        self._bar = tqdm(
            total=num_steps,
            initial=start,
            desc=f"epoch {epoch}",
            unit="step",
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def update(self, index: int, mean_loss: float) -> None:
        """Show that ``index`` steps are done, with the mean loss of their batches."""
        self._bar.set_postfix_str(f"loss={mean_loss:.2f}", refresh=False)
        self._bar.update(index - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def report(self, record: Record) -> None:
        """Print one line for the epoch on standard error."""
        terms = ", ".join(
            f"{name.replace('_', ' ')} {record[name]:.4f}"
            for name in ("loss", "reconstruction", "kl_divergence")
            if name in record and (name == "loss" or "kl_divergence" in record)
        )
        compiling = record["compile_seconds"]
        running = record["seconds"] - compiling
        rate = (self._num_steps - self._start) / running if running > 0 else 0.0
        compiled = f" after {compiling:.1f} s of compiling" if compiling >= 0.05 else ""
        print(
            f"epoch {record['epoch']}: {terms} ({running:.1f} s{compiled}, {rate:.1f} steps/s)",
            file=sys.stderr,
            flush=True,
        )
