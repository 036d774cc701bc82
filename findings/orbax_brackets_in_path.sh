#!/usr/bin/env bash
# Orbax 0.12.8: a checkpoint saved under a folder with [ in its path is reported as saved, and can
# not be restored. The files of the processes are merged through a glob, in which the brackets are
# not escaped, so that nothing is merged. The same tree under a plain path is restored.
#
# Installs the versions below in a temporary folder; fails when what it sees is not this.
# Seen with Python 3.11.7, jax 0.10.2, orbax-checkpoint 0.12.8:
#   run: saved, restored
#   lr=[1e-3]: saved, not restored
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install -q "jax==${JAX:-0.10.2}" "orbax-checkpoint==${ORBAX:-0.12.8}"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - "$folder" 2>/dev/null <<'EOF'
import pathlib
import sys

import numpy as np
import orbax.checkpoint as ocp

seen = {}
for name in ("run", "lr=[1e-3]"):
    path = pathlib.Path(sys.argv[1]) / name / "variables"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, {"w": np.arange(4.0)})
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            seen[name] = checkpointer.restore(path)["w"].tolist() == [0.0, 1.0, 2.0, 3.0]
    except Exception:
        seen[name] = False
    print(f"{name}: saved, {'restored' if seen[name] else 'not restored'}")
sys.exit(seen != {"run": True, "lr=[1e-3]": False})
EOF
