# Sourced by the other scripts: makes .venv and installs the package with the extras given.
# Usage: prepare_venv EXTRA...; afterwards $VENV/bin holds python and vae-jax.

VENV=.venv
# Compile each file once, not in each of the many processes that the tests start.
unset PYTHONDONTWRITEBYTECODE

stop() {
    echo "error: $1" >&2
    exit 1
}

prepare_venv() {
    local python="${PYTHON:-python3}" extras extra want missing=
    command -v "$python" >/dev/null || stop "$python not found: install Python 3.11 or newer"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop \
        "$("$python" --version) is too old: Python 3.11 or newer is needed (set PYTHON=/path/to/it)"
    if [ ! -x "$VENV/bin/python" ]; then
        "$python" -c 'import venv, ensurepip' 2>/dev/null || stop \
            "this Python has no venv: on Debian or Ubuntu, apt-get install python3-venv"
        echo "Making $VENV ..."
        rm -rf "$VENV"
        "$python" -m venv "$VENV" || stop "could not make $VENV"
    fi
    # One stamp an extra, holding the hash of pyproject.toml: nothing to do when it is unchanged.
    want=$("$VENV/bin/python" -c \
        'import hashlib; print(hashlib.sha256(open("pyproject.toml", "rb").read()).hexdigest())')
    for extra in "$@"; do
        [ "$(cat "$VENV/.installed-$extra" 2>/dev/null)" = "$want" ] || missing=yes
    done
    if [ -n "$missing" ]; then
        extras=$(IFS=, && echo "$*")
        echo "Installing vae-jax[$extras] into $VENV (a few minutes the first time) ..."
        "$VENV/bin/python" -m pip install -qq --disable-pip-version-check \
            --editable ".[$extras]" || stop "the installation failed; the lines above say why"
        for extra in "$@"; do
            echo "$want" >"$VENV/.installed-$extra"
        done
    fi
}
