"""Read and write ``attributes.csv``, the attributes of a folder's pictures.

The first column, ``file``, is the picture's path in the folder; every other column is an attribute.
"""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.errors import DataError

ATTRIBUTES_FILE = "attributes.csv"
MAX_TEXT = 1000  # characters: an array of texts takes as much memory for each as for the longest
Columns = Mapping[str, np.ndarray]
"""Column names to values [N]: text, or float64 with NaN for missing values."""


def read_attributes(source: str, folder: pathlib.Path, names: Sequence[str]) -> Columns:
    """Read the attributes of a folder's pictures in the order of ``names``; {} without the file.

    A column with only numbers and empty values is read as float64, any other as text.

    Raises:
        DataError: the file cannot be read, its first column is not ``file``, a line has another
            number of fields or a very long one, or a picture has no line or two.
    """
    path = folder / ATTRIBUTES_FILE
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: cannot read {path}: {error}") from error
    if not rows or rows[0][0] != "file" or len(set(rows[0])) != len(rows[0]):
        raise DataError(
            f"{source}: {path} does not begin with a line of distinct column names, the first of"
            " them 'file'"
        )
    header, by_file = rows[0], {}
    for row in rows[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{source}: {path}: the line of {row[0]!r:.200} has {len(row)} fields, expected"
                f" {len(header)}"
            )
        if max(map(len, row)) > MAX_TEXT:
            raise DataError(
                f"{source}: {path}: the line of {row[0]!r:.200} has a field of"
                f" {max(map(len, row))} characters, expected at most {MAX_TEXT}: shorten it"
            )
        if row[0] in by_file:
            raise DataError(f"{source}: {path} has two lines for {row[0]!r:.200}")
        by_file[row[0]] = row[1:]
    table = []
    for name in names:
        key = name.replace(os.sep, "/")
        if key not in by_file:
            raise DataError(f"{source}: {path} has no line for {key!r}, which the folder holds")
        table.append(by_file[key])
    columns = zip(header[1:], zip(*table, strict=True), strict=True)
    return {name: _typed(values) for name, values in columns}


def write_attributes(path: pathlib.Path, names: Sequence[str], columns: Columns) -> None:
    """Write the attributes of pictures; NaN becomes an empty field."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *columns])
        for name, *values in zip(names, *columns.values(), strict=True):
            writer.writerow([name, *map(_text, values)])


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else repr(float(value))


def _typed(values: Sequence[str]) -> np.ndarray:
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return np.array(values)
