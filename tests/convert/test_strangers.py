"""Files of other formats in a checkpoint's place: each is named, with what to do instead."""

import itertools
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
from hostile import one_line, refusal

from vae_jax.convert.read import read_checkpoint

TABLE = 0xDB4775248B80FB57.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page.*download failed"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"Not Found", "is text, beginning 'Not Found'"),
        (b'{"error": {"message": "no"}}', "is JSON text, beginning .*the server's answer"),
        (b"<?xml version='1.0'?><Error/>", "is XML text"),
        (b"import torch\n", "is text"),
        (b"\x1f\x8b\x08\x00" + bytes(30), "gzip"),
        (bytes(257) + b"ustar" + bytes(300), "tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5"),
        (b"BZh91AY", "bzip2"),
        (b"\x93NUMPY\x01\x00", r"one NumPy array without a name.*numpy\.savez"),
        (b"GGUF\x03", "GGUF"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        # ONNX: version, producer, graph, operators; a graph's node without a version is no ONNX.
        (b"\x08\x08\x12\x02pt\x3a\x02\x0a\x00\x42\x02\x10\x11", "is an ONNX model.*savez"),
        (b"\x08\x08\x3a\x02\x0a\x00", "is an ONNX model"),
        (b"\x08\x01\x12\x02\x0a\x00", r"saved_model\.pb"),
        (b"\x0a\x03\x0a\x01w\x22\x02\x08\x01", "is a graph .*give the checkpoint's prefix"),
        (b"\x08\x07\x12\x07pytorch" + bytes(20), "no supported format"),
        (bytes(16) + b"\4\0\0\0\x08\x05\x10\x03" + bytes(12), r"\.pdiparams.*without names"),
        (b"\x81\xa6params\x81\xa1a\x01", r"msgpack \(of flax.*vae_jax\.export_weights"),
        (b"\0\0\x12\x0a\x10" + bytes(40) + TABLE, "Saver's old V1 format"),
        (b"\0\0\x06\x08\x01\x1a" + bytes(40) + TABLE, r"index of a TensorFlow .*NAME\.index"),
        (pickle.dumps({"w": 1}, 0), "pickle of protocol 0"),
        (pickle.dumps({"w": 1}, 4) * 2, "ends at byte .*several, save them as one dict"),
        (b"\x80\x04cjax._src.array\n_reconstruct_array\n.", r"JAX arrays.*export_weights"),
        (b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n.", r"with torch\.save, not with pickle"),
        (pickle.dumps([np.ones(3)], 4), "found a list.*expected a state dict"),
        (pickle.dumps({"w": 1}, 2), "found a dict of 'w'.*expected a state dict"),
        (b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81.", "joblib.*nothing was run"),
        (bytes(100), "no supported format"),
        (b"\xff\xfe\xfd", "no supported format"),
        (b"PK\x05\x06" + bytes(18), "0 records"),
        (b"PK\x03\x04", "damaged zip"),
    ],
    ids=itertools.count(),
)
def test_another_kind_of_file_is_named(tmp_path, content, message):
    assert re.search(message, refusal(tmp_path, content))


def zipped(folder, *names):
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"content")
    return one_line(folder / "a.zip", read_checkpoint)


def test_another_kind_of_zip_file_is_named(tmp_path):
    assert "is a zip archive of 'a/b.pth': unpack it" in zipped(tmp_path, "a/", "a/b.pth", "x")
    assert "Keras' .keras file" in zipped(
        tmp_path, "metadata.json", "config.json", "model.weights.h5"
    )
    assert re.search(r"'w\.txt'.*data\.pkl", zipped(tmp_path, "w.txt"))


def test_a_tar_archive_is_named_however_it_was_made(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            archive.add(tmp_path / "w.pth", "w.pth")
        assert "tar archive: unpack" in one_line(tmp_path / "a.tar", read_checkpoint)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (["_METADATA", "manifest.ocdbt"], "is a folder of Orbax: restore it with Orbax, and save"),
        (["_CHECKPOINT_METADATA"], "is a folder of Orbax"),
        (["3/_CHECKPOINT_METADATA"], "Orbax's CheckpointManager: restore a step"),
        (["a.txt"], "is a folder: expected a checkpoint file"),
    ],
)
def test_a_folder_of_another_library_is_named(tmp_path, inside, message):
    for name in inside:
        path = tmp_path / "checkpoint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert message in one_line(tmp_path / "checkpoint", read_checkpoint)
