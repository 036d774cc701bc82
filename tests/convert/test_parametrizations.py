"""Layers under weight_norm and spectral_norm are read as the weights that PyTorch computes."""

import io
import warnings

import numpy as np
import pytest

from vae_jax.convert.parametrizations import fold_parametrizations
from vae_jax.convert.torch.zip import read_torch_zip
from vae_jax.errors import CheckpointError

torch = pytest.importorskip("torch")

LAYERS = {
    "linear": lambda: torch.nn.Linear(5, 4),
    "convolution": lambda: torch.nn.Conv2d(3, 4, 3),
    "transposed": lambda: torch.nn.ConvTranspose2d(3, 4, 3),
    "square": lambda: torch.nn.Conv2d(4, 4, 3),
    "square transposed": lambda: torch.nn.ConvTranspose2d(4, 4, 3),
    "one channel": lambda: torch.nn.ConvTranspose2d(1, 1, 3),
}
new, old = torch.nn.utils.parametrizations, torch.nn.utils
NORMS = {
    "weight_norm": lambda layer: new.weight_norm(layer),
    "weight_norm, axis 1": lambda layer: new.weight_norm(layer, dim=1),
    "weight_norm of all": lambda layer: new.weight_norm(layer, dim=None),
    "spectral_norm": lambda layer: new.spectral_norm(layer),
    "old weight_norm": lambda layer: old.weight_norm(layer),
    "old weight_norm of all": lambda layer: old.weight_norm(layer, dim=None),
    "old spectral_norm": lambda layer: old.spectral_norm(layer),
}


def state_of(network):
    torch.save(network.state_dict(), buffer := io.BytesIO())
    tensors = read_torch_zip(memoryview(buffer.getvalue()))
    return {name: tensor.array() for name, tensor in tensors.items()}


def normed(norm, layer):
    """A network whose second layer is under a norm, with weights that training has moved."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older functions are deprecated
        network = torch.nn.Sequential(torch.nn.Identity(), NORMS[norm](LAYERS[layer]()))
    inner = network[1]
    image = torch.randn(8, 5) if layer == "linear" else torch.randn(8, inner.in_channels, 6, 6)
    optimizer = torch.optim.SGD(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        (network(image) - 1).square().mean().backward()
        optimizer.step()
    network.eval()(image)
    return network, inner.weight.detach().numpy()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_weight_is_the_one_that_pytorch_computes(norm, layer):
    network, expected = normed(norm, layer)
    tensors = state_of(network)
    found = fold_parametrizations(tensors)
    assert found.tensors.keys() == {"1.weight", "1.bias"}
    assert found.weights == {norm.split(",")[0].removeprefix("old ").split(" ")[0]: ["1.weight"]}
    assert found.tensors["1.weight"].dtype == np.float32
    np.testing.assert_allclose(found.tensors["1.weight"], expected, rtol=1e-6)


def test_half_precisions_are_folded_in_float32():
    tensors = state_of(normed("weight_norm", "linear")[0].half())
    assert fold_parametrizations(tensors).tensors["1.weight"].dtype == np.float32


def test_other_parametrisations_are_left_as_they_are():
    layer = new.spectral_norm(new.weight_norm(torch.nn.Linear(5, 4)))
    for tensors in (
        state_of(layer),
        state_of(new.orthogonal(torch.nn.Linear(4, 4))),
        {"x_g": np.arange(2), "x_v": np.arange(2)},
        {"x": np.ones(2), "x_g": np.ones(2), "x_v": np.ones(2)},
    ):
        found = fold_parametrizations(tensors)
        assert (found.tensors, found.weights) == (tensors, {})


def test_vectors_that_determine_no_weight_are_refused():
    tensors = state_of(normed("old spectral_norm", "square")[0])
    with pytest.raises(CheckpointError, match=r"its 1.weight is under spectral_norm, whose vector"):
        fold_parametrizations(tensors | {"1.weight_u": np.ones(4, np.float32) / 2})
    with pytest.raises(CheckpointError, match=r"shapes \(3,\) and \(36,\) do not determine"):
        fold_parametrizations(tensors | {"1.weight_u": np.ones(3, np.float32)})
    tensors = {"w_g": np.ones((3, 1), np.float32), "w_v": np.ones((2, 5), np.float32)}
    with pytest.raises(CheckpointError, match=r"with g of shape \(3, 1\) and v of shape \(2, 5\)"):
        fold_parametrizations(tensors)
