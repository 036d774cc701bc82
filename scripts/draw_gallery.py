"""Writes the page of all figures, notebooks/gallery.md, from the outputs of the executed notebooks.

A code cell's metadata says what its pictures are, and puts them on the page:

    {"gallery": {"tutorial": "002", "figure": "7.4", "listing": "7.2", "caption": "Ten digits."}}

`figure`, `listing` and `place` (where the tutorial numbers neither) are optional. Nothing is
executed; the same notebooks give the same page:

    python scripts/draw_gallery.py
"""

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PICTURES = "images/gallery"
LARGEST, LARGEST_OF_ALL = 150_000, 3_000_000  # bytes
SAME = 3.0  # root mean square difference, of 255, that a palette may make
TUTORIALS = {
    "002": "Tutorials 000 and 002: digits and faces (PyTorch)",
    "001": "Tutorial 001: a general VAE (PyTorch)",
    "003": "Tutorial 003: from a memory to a VAE (TensorFlow)",
    "004": "Tutorial 004: two latents, and the label (Paddle)",
}
# What the tutorials show and no notebook draws, and why.
LEFT_OUT = {
    "002": "Figures 7.3 and 7.6, and the diagram of section 2.2 of tutorial 000, are drawings of "
    "the architectures; the notebooks print the modules themselves. The picture of equation 7.1 "
    "is a formula, with a slip that notebook 02 corrects. Tutorial 000 numbers no figure; its "
    "five results are figures 7.7 to 7.11.",
    "001": "The tutorial has no figures: these are the applications that it names.",
    "003": "The tutorial's diagrams of its four steps are not drawn again; these are the steps "
    "themselves and the results that its text describes.",
    "004": "The diagram of the VAE in its introduction is a drawing. The twos that experiments B "
    "and C train on are other digits here, because the data's order is another.",
}
_SUFFIXES = {"image/jpeg": "jpg", "image/png": "png"}
_KEYS = {"tutorial", "figure", "listing", "place", "caption"}


class GalleryError(Exception):
    """What is wrong with a cell that the page is to show."""


class Entry(NamedTuple):
    """A cell of a notebook that the page shows, and its own pictures by their file names."""

    tutorial: str
    heading: str
    caption: str
    notebook: str
    pictures: dict[str, bytes]


def main() -> int:
    """Writes the page and its pictures; the exit status is 1 if a cell is at fault."""
    try:
        text, pictures = draw(NOTEBOOKS)
    except GalleryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder = NOTEBOOKS / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.iterdir()} - pictures.keys():
        (folder / stale).unlink()
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    (NOTEBOOKS / "gallery.md").write_text(text, encoding="utf-8")
    print(f"{len(pictures)} pictures, {sum(map(len, pictures.values())) / 1e6:.2f} MB")
    return 0


def draw(folder: Path) -> tuple[str, dict[str, bytes]]:
    """The page of the notebooks in a folder, and its pictures by their file names.

    Raises:
        GalleryError: a cell's metadata are not as above, it has no picture, or one is too large.
    """
    entries = read_all(folder)
    # A JPEG stays as it is.
    pictures = {
        name: smaller(data) if name.endswith(".png") else data
        for entry in entries
        for name, data in entry.pictures.items()
    }
    for name, data in pictures.items():
        if len(data) > LARGEST:
            raise GalleryError(f"{name} has {len(data):,} bytes, over {LARGEST:,}: draw it smaller")
    total = sum(map(len, pictures.values()))
    if total > LARGEST_OF_ALL:
        raise GalleryError(f"the pictures have {total:,} bytes, over {LARGEST_OF_ALL:,}")
    return page(entries), pictures


def read_all(folder: Path) -> list[Entry]:
    """Return the cells of all notebooks in a folder that the page is to show."""
    return [entry for path in sorted(folder.glob("*.ipynb")) for entry in read_entries(path)]


def read_entries(path: Path) -> list[Entry]:
    """The cells of a notebook that the page is to show, in their order."""
    entries = []
    for cell in nbformat.read(path, as_version=4).cells:
        described = cell.metadata.get("gallery")
        if described is None:
            continue
        where = f"{path.name}, cell {cell.id}"
        unknown, tutorial = set(described) - _KEYS, described.get("tutorial")
        if unknown or tutorial not in TUTORIALS or not described.get("caption"):
            raise GalleryError(
                f"{where}: {dict(described)}; expected a caption, a tutorial of "
                f"{', '.join(TUTORIALS)} and perhaps figure, listing and place"
            )
        found = [picture for output in cell.get("outputs", []) for picture in _pictures(output)]
        if not found:
            raise GalleryError(f"{where} shows no picture: execute the notebook")
        stem = f"{path.stem[:2]}-{cell.id}"
        numbers = [""] if len(found) == 1 else [f"-{n}" for n in range(1, len(found) + 1)]
        pictures = {
            f"{stem}{number}.{suffix}": data
            for number, (suffix, data) in zip(numbers, found, strict=True)
        }
        entries.append(
            Entry(tutorial, _heading(described), described["caption"], path.name, pictures)
        )
    return entries


def smaller(png: bytes) -> bytes:
    """The picture as a PNG of few bytes: with a palette, where that can hardly be seen."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    palette = picture.quantize(256, dither=Image.Dither.NONE)
    difference = np.asarray(palette.convert("RGB"), float) - np.asarray(picture, float)
    candidates = [picture] if np.sqrt((difference**2).mean()) > SAME else [picture, palette]
    return min((_png(candidate) for candidate in candidates), key=len)


def page(entries: list[Entry]) -> str:
    """The page, in Markdown."""
    lines = [
        "# Gallery",
        "",
        "Every figure of the tutorials, as the notebooks beside this page draw it, and what the",
        "tutorials name without drawing it. The pictures are the notebooks' own outputs:",
        "`python scripts/draw_gallery.py` writes this page anew after they were executed.",
    ]
    for tutorial, title in TUTORIALS.items():
        lines += ["", f"## {title}", "", LEFT_OUT[tutorial]]
        for entry in (entry for entry in entries if entry.tutorial == tutorial):
            alternative = re.sub(r"[*`\[\]]", "", entry.caption)
            lines += ["", f"### {entry.heading}", "", f"{entry.caption} "]
            lines[-1] += f"([{entry.notebook.removesuffix('.ipynb')}]({entry.notebook}))"
            for name in entry.pictures:
                lines += ["", f"![{alternative}]({PICTURES}/{name})"]
    return "\n".join(lines) + "\n"


def _pictures(output: Any) -> list[tuple[str, bytes]]:
    """Return the suffix and the bytes of each picture of an output."""
    data = output.get("data", {}).items()
    return [(_SUFFIXES[k], base64.b64decode(text)) for k, text in data if k in _SUFFIXES]


def _heading(described: Any) -> str:
    parts = [f"{key} {described[key]}" for key in ("figure", "listing") if key in described]
    parts += [described["place"]] if "place" in described else []
    text = ", ".join(parts) or described["caption"].partition(":")[0].rstrip(".")
    return text[:1].upper() + text[1:]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
