"""TensorFlow itself: imported quietly, and kept to the CPU."""

from __future__ import annotations

import os
import warnings
from typing import Any

from vae_jax.errors import MissingExtraError


def load_tensorflow(purpose: str) -> Any:
    """TensorFlow, imported without its chatter.

    Raises:
        MissingExtraError: if it is not installed; ``purpose`` begins the message.
    """
    # Its oneDNN kernels announce themselves at every level, and round as the CPU pleases.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    added = {name: value for name, value in quiet.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("TensorFlow", "tensorflow", purpose) from error
    finally:
        for name in added:  # child processes inherit the rest
            os.environ.pop(name, None)
    return tf


def cpu_session(tf: Any, graph: Any, threads: int = 1) -> Any:
    """A session for a graph on the CPU; a GPU and its memory are left alone.

    With ``threads=0`` TensorFlow takes as many as it likes.
    """
    config = tf.compat.v1.ConfigProto(
        device_count={"GPU": 0},
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
    )
    return tf.compat.v1.Session(graph=graph, config=config)
