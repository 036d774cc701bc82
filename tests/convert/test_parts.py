"""Parts of a model: joined under one set of names, split again, found beside each other."""

from pathlib import Path

import numpy as np
import pytest

from vae_jax.convert.parts import join_parts, sibling, split_parts
from vae_jax.errors import CheckpointError

PARTS = {
    "encoder": {"conv1.weight": np.ones(1), "bias": np.ones(2)},
    "decoder": {"conv1.weight": np.ones(3)},
}


def test_parts_are_joined_under_their_names_and_split_again():
    joined = join_parts(PARTS)
    assert list(joined) == ["encoder.conv1.weight", "encoder.bias", "decoder.conv1.weight"]
    split = split_parts(joined)
    assert split == PARTS  # the very same arrays: nothing is copied
    assert [list(part) for part in split.values()] == [["conv1.weight", "bias"], ["conv1.weight"]]


def test_a_part_without_tensors_is_split_as_an_empty_one():
    assert split_parts({"encoder.w": PARTS["encoder"]["bias"]})["decoder"] == {}


def test_other_parts_can_be_named():
    assert list(split_parts({"prior.w": np.ones(1)}, ("prior", "posterior"))["prior"]) == ["w"]


def test_a_tensor_of_no_part_is_refused():
    for name in ("w", "encoder", "encoder.", "encoders.w", "Encoder.w", ".w", ""):
        with pytest.raises(CheckpointError, match=r"no part.*encoder\., decoder\."):
            split_parts({"decoder.w": np.ones(1), name: np.ones(1)})


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("A_encoder_False.pdparams", "A_decoder_False.pdparams"),
        ("encoder/B_encoder_True.pdparams", "encoder/B_decoder_True.pdparams"),
        ("encoder_of_encoder.pdparams", "encoder_of_decoder.pdparams"),
        ("/a/encoder", "/a/decoder"),
        ("encoder/weights.pdparams", None),
        ("Encoder.pdparams", None),
    ],
)
def test_the_file_of_the_other_part_is_named_after_the_first(path, other):
    assert sibling(Path(path), "encoder", "decoder") == (other and Path(other))
