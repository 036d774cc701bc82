#!/usr/bin/env bash
# safetensors 0.8.0, NumPy API: an array that is not contiguous in C order (a transpose, or Fortran
# order) is saved with its values in another order, without an error or a warning; names, shapes and
# dtypes are right. 0.7.0 saved it right. numpy.ascontiguousarray first is safe with either.
#
# Installs the versions below in a temporary folder; fails when what it sees is not this.
# Seen with Python 3.11.7, numpy 2.4.6:
#   0.7.0: transposed equal True, contiguous equal True
#   0.8.0: transposed equal False, contiguous equal True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
for version in 0.7.0 0.8.0; do
    "$folder/bin/python" -m pip install -q "safetensors==$version" "numpy==${NUMPY:-2.4.6}"
    "$folder/bin/python" - "$version" <<'EOF'
import sys

import numpy as np
from safetensors.numpy import load, save

version = sys.argv[1]
array = np.arange(6, dtype=np.float32).reshape(2, 3).T
transposed, contiguous = (
    bool(np.array_equal(load(save({"a": a}))["a"], array)) for a in (array, np.ascontiguousarray(array))
)
print(f"{version}: transposed equal {transposed}, contiguous equal {contiguous}")
sys.exit((transposed, contiguous) != (version == "0.7.0", True))
EOF
done
