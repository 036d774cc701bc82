#!/usr/bin/env bash
# Every test on a fresh machine: makes .venv, installs vae-jax[test], then runs what plain `pytest`
# runs, and besides it the other frameworks, the slow tests, the browser and the notebooks.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh

# The explorer's page is tested in a real browser, where there is one or Debian can install it.
prepare_browser() {
    has_browser() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }
    has_browser && return
    if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
        echo "Installing chromium and chromium-driver (a minute) ..."
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
            --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 || true
    fi
    has_browser || echo "No chromium with chromedriver here: the browser's test will be skipped."
}

prepare_venv test
prepare_browser
# Arrays of 63 million weights come and go here; glibc is to keep their memory (vae_jax/memory.py).
export GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647
exec "$VENV/bin/python" -m pytest -m "" --nbmake --nbmake-timeout=300 "$@"
