"""What is written takes its place whole or not at all, and errors of the system are one line."""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

import pytest

import vae_jax
from vae_jax.data import open_picture
from vae_jax.errors import DataError, MissingExtraError, RunError, UserError
from vae_jax.files import explain_errors, replacing, require_local, write_atomically


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, call, error):
    write_atomically(tmp_path / "file", "old")

    def crash(*_):
        raise error

    monkeypatch.setattr(call, crash)
    with pytest.raises(error):
        write_atomically(tmp_path / "file", "new")
    assert contents(tmp_path) == {"file": "old"}
    monkeypatch.undo()
    write_atomically(tmp_path / "file", "né")
    assert (tmp_path / "file").read_bytes() == "né".encode()


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    def give_up():
        with replacing(tmp_path / "a", tmp_path / "b") as drafts:
            for draft in drafts:
                draft.write_text("new")
            raise ZeroDivisionError

    write_atomically(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError):
        give_up()
    assert contents(tmp_path) == {"a": "old"}


@pytest.mark.parametrize("there_before", [0, 1, 2, 3])
@pytest.mark.parametrize("moves", range(6))
def test_of_several_files_all_are_replaced_or_none(tmp_path, monkeypatch, there_before, moves):
    folders = [tmp_path / "one", tmp_path / "two"]
    targets = [folders[0] / "a", folders[1] / "b", folders[0] / "c"]
    for folder in folders:
        folder.mkdir()
    for target in targets[:there_before]:
        target.write_text("old")
    before = [contents(folder) for folder in folders]
    honest, done = os.replace, []

    def full(source, target):
        done.append(target)
        if len(done) == moves + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(source, target)

    monkeypatch.setattr(os, "replace", full)
    steps = there_before + 3  # the old ones are moved away, the new ones to their places
    fails = pytest.raises(OSError, match="No space") if moves < steps else contextlib.nullcontext()
    with fails, replacing(*targets) as drafts:
        assert [draft.name for draft in drafts] == ["a", "b", "c"]
        assert drafts[0].parent == drafts[2].parent != drafts[1].parent
        for draft in drafts:
            draft.write_text("new")
    after = [contents(folder) for folder in folders]
    assert after == (before if moves < steps else [{"a": "new", "c": "new"}, {"b": "new"}])


def test_a_killed_process_leaves_too_few_of_several_files_never_old_ones_among_new(
    tmp_path, monkeypatch
):
    targets = [tmp_path / "data", tmp_path / "index"]
    for target in targets:
        target.write_text("old")
    seen = []
    honest = os.replace

    def watch(source, target):
        honest(source, target)
        seen.append({t.name: t.read_text() for t in targets if t.exists()})

    monkeypatch.setattr(os, "replace", watch)
    with replacing(*targets) as drafts:
        for draft in drafts:
            draft.write_text("new")
    assert seen == [{"data": "old"}, {}, {"data": "new"}, {"data": "new", "index": "new"}]


def test_a_folder_takes_the_place_of_none_or_of_an_empty_one(tmp_path):
    place = tmp_path / "more" / "folder"
    for _ in range(2):
        with replacing(place, parents=True) as (draft,):
            draft.mkdir()
            (draft / "file").write_text("new")
        assert contents(place) == {"file": "new"}
        (place / "file").unlink()
    (place / "file").write_text("old")
    with pytest.raises(OSError, match="not empty"), replacing(place) as (draft,):
        draft.mkdir()
    assert contents(place) == {"file": "old"}


def test_permissions_stay_and_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "new", "")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new").chmod(0o640)
    write_atomically(tmp_path / "new", "x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_errors_of_the_system_and_of_other_libraries_are_one_line_of_ours(tmp_path):
    with (
        pytest.raises(RunError) as caught,
        explain_errors(RunError, "the run cannot be written", "make room"),
    ):
        (tmp_path / "none" / "file").write_text("")
    assert str(caught.value) == "the run cannot be written (No such file or directory): make room"
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with (
        pytest.raises(DataError, match=r"^it is damaged \(KeyError: 'w\\nx'\): fetch it again$"),
        explain_errors(DataError, "it is damaged", "fetch it again", (OSError, KeyError)),
    ):
        raise KeyError("w\nx")


@pytest.mark.parametrize(
    "error", [RunError("a run"), MissingExtraError("a", "b", "c"), KeyError(1)]
)
def test_errors_of_ours_and_those_not_named_pass_as_they_are(error):
    with (
        pytest.raises(type(error)) as caught,
        explain_errors(DataError, "found", "advice", ValueError),
    ):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("text", "address", "advice"),
    [
        ("gs://bucket/run", "gs://bucket/run", "mount the bucket"),
        ("folder:s3://bucket/faces", "s3://bucket/faces", "mount the bucket"),
        ("--out=hdfs://host/run", "hdfs://host/run", "mount the bucket"),
        (Path("gs://bucket/run"), "gs:/bucket/run", "mount the bucket"),
        ("men=HTTP://host/a.png,b.png", "HTTP://host/a.png,b.png", "download it first"),
        ("https://host/a.pth", "https://host/a.pth", "download it first"),
        ("file:///home/me/run", "file:///home/me/run", "path itself, such as /home/me/run"),
    ],
)
def test_an_address_is_refused_as_a_path(text, address, advice):
    with pytest.raises(UserError, match=f"^{re.escape(address)} is an address.*{advice}"):
        require_local(text)


@pytest.mark.parametrize("text", ["runs/a:b", "folder:/data/x", "C://runs", "/mnt/gs:/run", "gs/a"])
def test_a_path_with_colons_is_a_path(text):
    require_local(text)


@pytest.mark.parametrize("call", ["load", "open_dataset", "open_picture", "replacing"])
def test_no_reader_or_writer_takes_an_address(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = {
        "load": lambda: vae_jax.load("gs://bucket/run"),
        "open_dataset": lambda: vae_jax.open_dataset("idx:gs://bucket", (28, 28, 1)),
        "open_picture": lambda: open_picture("here", "gs://bucket/a.png", (28, 28, 1)),
        "replacing": lambda: write_atomically("gs://bucket/a.json", ""),
    }
    with pytest.raises(UserError, match="is an address"):
        calls[call]()
    assert not list(tmp_path.iterdir())
