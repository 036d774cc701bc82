"""attributes.csv: in the order of the folder, typed by its values, refused if it does not fit."""

import numpy as np
import pytest

from vae_jax.data.attributes import read_attributes
from vae_jax.errors import DataError

NAMES = ["a/1.png", "b/2.png"]


def read(tmp_path, text):
    (tmp_path / "attributes.csv").write_text(text, encoding="utf-8")
    return read_attributes("folder:x", tmp_path, NAMES)


def test_no_file_is_no_attributes(tmp_path):
    assert read_attributes("folder:x", tmp_path, NAMES) == {}


def test_values_follow_the_pictures_not_the_lines(tmp_path):
    columns = read(tmp_path, "file,hat,age\nb/2.png,no,\nc/other.png,yes,9\na/1.png,yes,31\n")
    assert columns["hat"].tolist() == ["yes", "no"]
    assert columns["age"].dtype == np.float64
    assert columns["age"][0] == 31
    assert np.isnan(columns["age"][1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with a line of distinct column names"),
        ("picture,hat\na/1.png,yes\n", "the first of them 'file'"),
        ("file,hat,hat\n", "distinct column names"),
        ("file,hat\na/1.png,yes\n", "no line for 'b/2.png'"),
        ("file,hat\na/1.png,yes\na/1.png,no\n", "two lines for 'a/1.png'"),
        ("file,hat\na/1.png\n", "has 1 fields, expected 2"),
        ("file,hat\na/1.png," + "x" * 2000 + "\n", "a field of 2000 characters, expected at"),
        ("file,hat\n" + "y" * 2000 + "\n", "yyy has 1 fields"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)
