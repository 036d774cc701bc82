"""Executes the notebooks as a reader does, each in a fresh kernel and an empty working folder.

Without options their outputs are written back, without what changes from run to run; with `--smoke`
they run at the size of a test and nothing is written. Needs the `notebooks` and `demo` extras:

    python scripts/run_notebooks.py             # all of them, at their real sizes
    python scripts/run_notebooks.py --smoke 01 07
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 700_000  # bytes of a committed notebook
TIMEOUT = 900  # seconds a cell
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Failed(Exception):
    """What is wrong with a notebook, and in which cell."""


def main() -> int:
    """Prints one line a notebook; the exit status is 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="how a notebook's name begins")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; writes nothing")
    options = parser.parse_args()
    paths = _chosen(options.names)
    if not paths:
        found = ", ".join(path.stem for path in _chosen([])) or "none at all"
        print(f"error: no notebook begins with {options.names}; there are {found}", file=sys.stderr)
        return 2
    failures = 0
    for path in paths:
        started, verdict = time.perf_counter(), "ok"
        try:
            notebook = execute(path, smoke=options.smoke)
            if not options.smoke:
                write(notebook, path)
                verdict = f"{path.stat().st_size / 1000:.0f} kB"
        except Failed as failure:
            failures += 1
            verdict = f"FAILED, {failure}"
        print(f"{path.stem}: {time.perf_counter() - started:.1f} s, {verdict}", flush=True)
    return 1 if failures else 0


def execute(path: Path, *, smoke: bool) -> Any:
    """Runs a notebook from top to bottom, and returns it with its outputs.

    Raises:
        Failed: a cell raised an error, took too long or ended the kernel.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = {k: v for k, v in os.environ.items() if k != "VAE_JAX_SMOKE"}
    environment |= {"VAE_JAX_SMOKE": "1"} if smoke else {}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name=METADATA["kernelspec"]["name"],
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise Failed(_explain(notebook, error)) from error
    return notebook


def write(notebook: Any, path: Path) -> None:
    """Writes an executed notebook in the place of the old one.

    Raises:
        Failed: an output shows a path of this machine or a warning, or the notebook is too large;
            the old one is left as it was.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        kept = {key: value for key, value in cell.metadata.items() if key == "gallery"}
        cell.metadata = nbformat.from_dict(kept)  # for scripts/draw_gallery.py
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise Failed(f"cell {number} wrote to standard error: {output.text.strip()[:200]}")
            data = output.get("data", {}).items()
            shown = [output.get("text", ""), *(text for kind, text in data if "text/" in kind)]
            for place in _machine_paths():
                if any(place in text for text in shown):
                    raise Failed(f"an output of cell {number} shows {place}")
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text) > LARGEST:
        raise Failed(f"its {len(text):,} bytes are over {LARGEST:,}: draw fewer or smaller figures")
    path.write_text(text, encoding="utf-8")


def _chosen(names: list[str]) -> list[Path]:
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [path for path in paths if not names or path.stem.startswith(tuple(names))]


def _machine_paths() -> set[str]:
    places = {ROOT, Path(sys.prefix), Path.home(), Path(tempfile.gettempdir())}
    return {f"{place}/" for place in places if len(place.parts) > 1}


def _explain(notebook: Any, error: Exception) -> str:
    """The cell that failed, by its number and first line, and what it raised."""
    ran = [n for n, cell in enumerate(notebook.cells) if cell.get("execution_count")]
    number = ran[-1] if ran else 0
    for place, cell in enumerate(notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            number = place
    first_line = notebook.cells[number].source.partition("\n")[0]
    what = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else error
    return f"cell {number} ({first_line}): {what}"


if __name__ == "__main__":
    sys.exit(main())
