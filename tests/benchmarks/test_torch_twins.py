"""PyTorch's side computes what this package does: the same loss, means and images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_weights import drawn_variables

import vae_jax
from vae_jax.benchmark.tasks import make_task
from vae_jax.models import pytorch_rules

torch = pytest.importorskip("torch")

from contest.torch_twins import ADAPTERS  # noqa: E402

BATCH = 3
HYPER = {
    "digits_ae": {},
    "conv_vae": {"image_shape": (10, 7, 2), "widths": (4, 5)},
    "stddev_vae": {},
    "digits_vae": {"channels": 4},
    "digits_cvae": {"channels": 4},
}


def rules(name, model):
    """Between our variables and the twin's tensors."""
    if name != "stddev_vae":
        return vae_jax.MODELS[name].rules(model)
    conv, linear, flat = pytorch_rules.conv, pytorch_rules.linear, (32, 7, 7)
    rec, gen = "recognition", "generation"
    return (
        *conv("d_h1", (rec, "d_h1")),
        *conv("d_h2", (rec, "d_h2")),
        *linear("w_mean", (rec, "w_mean"), flat_input=flat),
        *linear("w_stddev", (rec, "w_stddev"), flat_input=flat),
        *linear("z_matrix", (gen, "z_matrix"), flat_output=flat),
        *conv("g_h1", (gen, "g_h1"))[:1],  # its bias is never added
        *conv("g_h2", (gen, "g_h2"))[:1],
    )


def torch_weights(name, model, variables, module):
    """Our variables as the module's, 1x1 convolutions of 1x1 images being linear there."""
    state = module.state_dict()
    for rule in rules(name, model):
        leaf = variables
        for key in rule.target:
            leaf = leaf[key]
        array = rule.to_source(np.asarray(leaf))
        state[rule.source] = torch.from_numpy(array.copy()).reshape(state[rule.source].shape)
    return state


@pytest.mark.parametrize(
    "name",
    [
        name if name == "stddev_vae" else pytest.param(name, marks=pytest.mark.slow)
        for name in HYPER
    ],
)
def test_loss_means_and_images_are_ours(name):
    hyper = HYPER[name]
    task = make_task(name, batch_size=BATCH, **hyper)
    model, spec, adapter = task.module, task.spec, ADAPTERS[name]
    variables = drawn_variables(model)
    module = adapter.make(**task.hyper)
    module.load_state_dict(torch_weights(name, model, variables, module))

    x, z, one_hot = task.floats(), task.latents(), task.one_hot()
    label = [jnp.asarray(one_hot)] if spec.num_classes else []
    batch = {"image": jnp.asarray(x)} | ({"label": label[0]} if label else {})
    noise = jnp.asarray(z) if spec.variational else None
    loss = vae_jax.make_loss(name, **hyper)

    @jax.jit
    def all_three(variables):
        encoded = model.apply(variables, x, *label, method="encode")
        image = model.apply(variables, z, *label, method="decode")
        return loss(variables["params"], {}, batch, noise)[0], encoded.mean, image

    ours, mean, image = all_three(variables)

    tx, tz = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(z)
    tl = torch.from_numpy(one_hot)
    with torch.no_grad():
        theirs = adapter.loss(module, tx, tz, tl).item()
        their_mean = adapter.encode(module, tx, tl).numpy()
        their_image = adapter.decode(module, tz, tl).reshape(BATCH, -1, *model.image_shape[:2])
    np.testing.assert_allclose(theirs, float(ours), rtol=2e-6)
    np.testing.assert_allclose(their_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(their_image.numpy().transpose(0, 2, 3, 1), image, atol=1e-5)
