"""Tasks as small as the models go."""

from typing import Any

from vae_jax.benchmark.tasks import Task, make_task

TINY: dict[str, dict[str, Any]] = {
    "digits_ae": {"latent_size": 2, "hidden_size": 4},
    "conv_vae": {"image_shape": (6, 8, 1), "widths": (2, 3), "latent_size": 2},
    "stddev_vae": {"latent_size": 2},
    "digits_vae": {"channels": 1},
    "digits_cvae": {"channels": 2},
}


def tiny_task(model: str, work: str = "step", **given: Any) -> Task:
    sizes = {"batch_size": 2, "num_images": 5, **given}
    return make_task(model, work, **sizes, **TINY[model])
