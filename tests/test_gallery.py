"""The gallery is what its script makes of the notebooks."""

import base64
import importlib.util
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

ROOT = Path(__file__).parents[1]
DESCRIBED = {"tutorial": "002", "figure": "7.4", "listing": "7.2", "caption": "Two faces."}


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


BLACK = ("image/png", _png(np.zeros((4, 4, 3), np.uint8)))


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "scripts" / "draw_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_would_write(gallery):
    entries = gallery.read_all(ROOT / "notebooks")
    assert (ROOT / "notebooks" / "gallery.md").read_text(encoding="utf-8") == gallery.page(entries)
    folder = ROOT / "notebooks" / "images" / "gallery"
    names = {name for entry in entries for name in entry.pictures}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.slow
def test_the_pictures_are_what_the_script_would_write(gallery):
    folder = ROOT / "notebooks" / "images" / "gallery"
    for name, data in gallery.draw(ROOT / "notebooks")[1].items():
        kept, drawn = (_pixels(source) for source in ((folder / name).read_bytes(), data))
        # Another version of Pillow may choose another palette.
        assert np.abs(kept - drawn).mean() < 4, name


def test_every_figure_of_the_book_that_is_no_diagram_is_on_the_page():
    text = (ROOT / "notebooks" / "gallery.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    for number in (1, 2, 4, 5, 7, 8, 9, 10, 11):
        assert any(f"Figure 7.{number}," in f"{line}," for line in headings), number


def test_a_picture_of_few_colours_comes_back_exactly_with_a_palette(gallery):
    levels = np.linspace(0, 255, 16).astype(np.uint8).repeat(8)
    picture = np.broadcast_to(levels[None, :, None], (64, 128, 3))
    png = _png(picture)
    small = gallery.smaller(png)
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert np.array_equal(_pixels(small), picture)


def test_a_picture_that_a_palette_would_spoil_keeps_its_colours(gallery):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    small = gallery.smaller(_png(picture))
    assert np.array_equal(_pixels(small), picture)


def test_a_jpeg_is_not_compressed_twice(gallery, tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "JPEG")
    jpeg = file.getvalue()
    _write(tmp_path / "02_faces.ipynb", DESCRIBED, [("image/jpeg", jpeg)])
    assert gallery.draw(tmp_path)[1] == {"02-a-cell.jpg": jpeg}


@pytest.mark.parametrize(
    ("metadata", "pictures", "reason"),
    [
        ({"tutorial": "002"}, 1, "expected a caption"),
        (DESCRIBED | {"tutorial": "005"}, 1, "a tutorial of 002"),
        (DESCRIBED | {"fig": "7.4"}, 1, "expected a caption"),
        (DESCRIBED, 0, "shows no picture"),
    ],
)
def test_a_cell_at_fault_is_named(gallery, tmp_path, metadata, pictures, reason):
    _write(tmp_path / "01_faces.ipynb", metadata, [BLACK] * pictures)
    with pytest.raises(gallery.GalleryError, match=reason) as raised:
        gallery.draw(tmp_path)
    assert "01_faces.ipynb, cell a-cell" in str(raised.value)


def test_the_pictures_of_a_cell_are_numbered_under_its_heading(gallery, tmp_path):
    _write(tmp_path / "01_faces.ipynb", DESCRIBED, [BLACK, BLACK])
    text, pictures = gallery.draw(tmp_path)
    assert list(pictures) == ["01-a-cell-1.png", "01-a-cell-2.png"]
    assert "### Figure 7.4, listing 7.2\n\nTwo faces. ([01_faces](01_faces.ipynb))\n" in text
    assert "![Two faces.](images/gallery/01-a-cell-2.png)" in text


def _write(path, metadata, pictures):
    data = [{kind: base64.b64encode(picture).decode()} for kind, picture in pictures]
    outputs = [new_output("display_data", each) for each in data]
    cell = new_code_cell("", id="a-cell", metadata={"gallery": metadata}, outputs=outputs)
    nbformat.write(new_notebook(cells=[cell]), path)


def _pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
