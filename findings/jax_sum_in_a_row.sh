#!/usr/bin/env bash
# JAX on CPU: a sum over several axes of fewer than 4,096 float32 numbers adds them one after
# another, bit for bit what a plain loop gives. The same numbers as one axis, or more of them, are
# added in blocks, many times nearer to the truth.
#
# Installs the versions below in a temporary folder; fails when what it sees is not this.
# Seen with Python 3.11.7, jax and jaxlib 0.10.2, numpy 2.4.6 (and 3.13.0, 0.12.0.1, 2.5.5):
#   [4, 28, 28] over axes (1, 2): JAX 3.9e-07  NumPy 2.3e-08  plain loop 3.9e-07  bits of the loop: True
#   [4, 784] over axes (1,): JAX 7.0e-08  NumPy 2.3e-08  plain loop 3.9e-07  bits of the loop: False
#   [8, 28, 28] over axes (1, 2): JAX 2.9e-08  NumPy 2.5e-08  plain loop 2.9e-07  bits of the loop: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install -q "jax==${JAX:-0.10.2}" "jaxlib==${JAX:-0.10.2}" "numpy==${NUMPY:-2.4.6}"
JAX_PLATFORMS=cpu "$folder/bin/python" - <<'EOF'
import sys

import jax
import jaxlib
import numpy as np

print(f"Python {sys.version.split()[0]}, jax {jax.__version__}, jaxlib {jaxlib.__version__}, "
      f"numpy {np.__version__}")


def in_a_row(batch, as_images):
    """Whether JAX's sums are those of a plain loop; the errors are root mean squares, relative."""
    rows = np.random.default_rng(0).standard_normal((batch, 784)).astype(np.float32) ** 2
    x = rows.reshape(batch, 28, 28) if as_images else rows
    axes = tuple(range(1, x.ndim))
    loop = np.zeros(batch, np.float32)
    for column in rows.T:
        loop += column
    sums = np.asarray(jax.jit(lambda x: x.sum(axes))(x))
    truth = rows.astype(np.float64).sum(1)
    jax_error, numpy_error, loop_error = (
        np.sqrt(np.mean((y - truth) ** 2)) / truth.max() for y in (sums, x.sum(axes), loop)
    )
    same = np.array_equal(sums, loop)
    print(f"{list(x.shape)} over axes {axes}: JAX {jax_error:.1e}  NumPy {numpy_error:.1e}  "
          f"plain loop {loop_error:.1e}  bits of the loop: {same}")
    return same


found = in_a_row(4, True), in_a_row(4, False), in_a_row(8, True)
if found != (True, False, False):
    sys.exit("changed: only the first was the sum of a plain loop")
EOF
