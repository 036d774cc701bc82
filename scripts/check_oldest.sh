#!/usr/bin/env bash
# Runs what plain `pytest` runs with the oldest versions that pyproject.toml promises, in an
# environment of its own that is removed afterwards. Arguments go to pytest:
#   bash scripts/check_oldest.sh tests/layers tests/models
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
prepare_venv dev
uv=$VENV/bin/uv

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$folder/env/bin/python
"$VENV/bin/python" -m venv "$folder/env"
# PyTorch comes from pip as in .venv, the tests' own tools in their newest versions.
torch=$(sed -n 's/^ *"\(torch==[^"]*\)",$/\1/p' pyproject.toml)
"$python" -m pip install -qq --disable-pip-version-check "$torch"
"$uv" pip compile --quiet --python "$python" --resolution lowest-direct pyproject.toml \
    --extra demo --extra workbench --extra explore --extra workers --output-file "$folder/oldest.txt"
"$uv" pip install --quiet --python "$python" --requirement "$folder/oldest.txt" \
    beartype hypothesis nbformat pytest pytest-xdist safetensors
"$uv" pip install --quiet --python "$python" --no-deps --editable .
"$uv" pip list --python "$python" | grep -Ei '^(jax|jaxlib|flax|optax|orbax-checkpoint|numpy|torch) '
"$python" -m pytest "$@"
