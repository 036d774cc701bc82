#!/usr/bin/env bash
# The tests on a fresh machine: makes .venv, installs vae-jax[test], runs pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
prepare_venv test
exec "$VENV/bin/python" -m pytest --numprocesses 2 --dist worksteal "$@"
