"""face_vae's tensors are the original's, whose batch norms absorb the biases in front of them."""

import numpy as np
import pytest

import vae_jax
from vae_jax.convert.mapping import export_leaves, rules_of


@pytest.mark.torch
def test_it_has_the_references_tensors(shapes_of):
    import torch

    from vae_jax.parity.originals.pytorch import RUNNERS

    with torch.device("meta"):
        original = RUNNERS["face_vae"].module()
    theirs = {name: tuple(value.shape) for name, value in original.state_dict().items()}
    leaves = shapes_of(vae_jax.create_model("face_vae"))
    ours = {
        rule.source: rule.to_source(np.broadcast_to(np.int8(0), leaves[rule.target].shape)).shape
        for rule in rules_of("face_vae")
    }
    assert list(ours.items()) == list(theirs.items())


def test_the_rules_carry_any_collection_of_leaves(shapes_of):
    shapes = shapes_of(vae_jax.create_model("face_vae"))
    statistics = {
        path: np.zeros(leaf.shape) for path, leaf in shapes.items() if path[0] == "batch_stats"
    }
    tensors = export_leaves(rules_of("face_vae"), statistics)
    kinds = {name.rpartition(".")[2] for name in tensors}
    assert kinds == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(tensors) == 9
