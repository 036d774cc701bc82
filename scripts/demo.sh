#!/usr/bin/env bash
# The demo on a fresh machine: makes .venv, installs vae-jax, runs `vae-jax demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
prepare_venv demo
exec "$VENV/bin/vae-jax" demo "$@"
