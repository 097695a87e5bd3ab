#!/usr/bin/env bash
# Makes .venv: the locked packages and this repository in editable form. Called by `make setup`.
# `setup.sh --uv` only prints the path of a uv, fetching one from PyPI where there is none.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    echo "setup: $1" >&2
    exit 1
}

fits() { # a Python that we support; pyenv's shims exist for versions that do not run
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if fits "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python 3.11 to 3.13 found (looked for ${PYTHON:-python3, python3.13, python3.12, \
python3.11}); install one, or name it: make setup PYTHON=/path/to/python"
}

find_uv() {
    local private=.bootstrap/bin/uv
    if command -v uv >/dev/null && uv pip compile --help 2>/dev/null | grep -q -- --universal; then
        command -v uv
    elif [ -x $private ]; then
        echo $private
    else
        rm -rf .bootstrap
        "$python" -m venv .bootstrap >/dev/null 2>&1 ||
            fail "$python cannot make a virtual environment; install its venv package \
(Debian: apt-get install python3-venv)"
        .bootstrap/bin/python -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r requirements/bootstrap.txt >&2 ||
            fail "could not fetch uv from PyPI; install uv yourself and run this again"
        echo $private
    fi
}

python=$(find_python)
uv=$(find_uv)
if [ "${1:-}" = --uv ]; then
    echo "$uv"
    exit
fi

fits .venv/bin/python || "$uv" venv --quiet --clear --python "$python" .venv
"$uv" pip sync --quiet --python .venv --require-hashes requirements/dev.txt
.venv/bin/python build_kernel.py # also part of the install below, which says less when it fails
"$uv" pip install --quiet --python .venv --no-deps --no-build-isolation -e . -e operator
# The bytecode of what a stack imports. Compiling it takes most of the CPU time of a start: of the
# first one, and of every one where PYTHONDONTWRITEBYTECODE is set.
env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -c \
    'import cli.app, devstack.daemon, devstack.ray_program'
