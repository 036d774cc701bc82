#!/usr/bin/env bash
# Builds the source distribution and from it the wheel, then uses the wheel as a stranger would: in
# an empty environment, outside this folder, with no other dependency than those it declares.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
prepare_venv dev
bin=$PWD/$VENV/bin check=$PWD/scripts/check_wheel.py
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$bin/python" -m build --installer uv --outdir "$folder/dist" >"$folder/log" 2>&1 || {
    cat "$folder/log" >&2
    stop "the build failed"
}
"$bin/python" "$check" contents "$folder"/dist/*.whl
"$bin/uv" venv --quiet --python "$bin/python" "$folder/env"
"$bin/uv" pip install --quiet --python "$folder/env/bin/python" "$folder"/dist/*.whl
cd "$folder"
env/bin/python "$check" use
env/bin/vae-jax --help >/dev/null
echo "$(cd dist && echo ./*) import a checkpoint in an empty environment."
