"""Paths that Orbax can write and read.

Orbax 0.12 finds its own files with an unescaped glob, so under a folder such as ``lr=[1e-3]`` a
checkpoint lacks its index and can never be read; TensorStore takes a backslash for a slash and
cannot open a name that is not UTF-8; and etils takes ``/gs/...`` or a folder ``gs:`` for a bucket.
Such a folder is reached through a link with a plain name.
"""

# JAX's functions are without full hints:
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path

import jax

from vae_jax.errors import RunError

_UNSAFE = re.compile(r"[*?\[\]\\:]|^/(gs|s3|az|hf)(/|$)|[\ud800-\udfff]")
_links: dict[Path, Path] = {}


def orbax_path(folder: Path) -> Path:
    """Return a path to a folder for Orbax: its own absolute path, or one through a link.

    The link lies in the system's folder for temporary files and is deleted with the process.

    Args:
        folder: a folder with a plain name, whose parent exists.

    Raises:
        RunError: no link can be made, or there are several hosts, which would need the same one.
    """
    folder = folder.absolute()
    unsafe = _UNSAFE.search(str(folder))
    if unsafe is None:
        return folder
    parent = folder.parent
    if parent not in _links or not _links[parent].is_symlink():  # /tmp is swept on some machines
        _links[parent] = _link_to(parent, unsafe[0])
    return _links[parent] / folder.name


def _link_to(folder: Path, unsafe: str) -> Path:
    advice = f"Orbax cannot write {unsafe!r} in a path; choose a folder without it"
    if jax.process_count() > 1:
        raise RunError(f"{folder} cannot be used on several hosts: {advice}")
    try:
        place = Path(tempfile.mkdtemp(prefix="vae_jax-")).absolute()
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        if _UNSAFE.search(str(place)):
            raise OSError(f"neither can {place} be used")
        (link := place / "run").symlink_to(folder, target_is_directory=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be used ({error}): {advice}") from error
    return link
