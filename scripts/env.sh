# Read by the other scripts: finds a Python, makes the virtual environment, installs edgecv.
# The environment is .venv, or the folder that EDGECV_VENV names.

VENV=${EDGECV_VENV:-.venv}

fail() {
    printf 'error: %s\nremedy: %s\n' "$1" "$2" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>&1) || found='no python3'
    fail "edgecv needs Python 3.11 or newer, and this machine has $found" \
        'apt-get install python3.11 python3.11-venv, or PYTHON=/path/to/python sh scripts/...'
}

make_venv() {
    if is_new_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1
    then
        return
    fi
    python=$(find_python) || exit 1
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$python can't make virtual environments: it lacks venv or ensurepip" \
            'apt-get install python3-venv'
    echo "making $VENV with $("$python" --version)" >&2
    "$python" -m venv --clear "$VENV" ||
        fail "$python could not make the virtual environment $VENV" \
            "remove $VENV, free some space, and try again"
}

# install_edgecv [EXTRA]: editable, with the versions of constraints.txt; once per change of them.
install_edgecv() {
    make_venv
    stamp="$VENV/.edgecv-installed${1:+-$1}"
    want=$(cat pyproject.toml constraints.txt | cksum; pwd)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
        return
    fi
    echo "installing edgecv${1:+[$1]} into $VENV" >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable ".${1:+[$1]}" --constraint constraints.txt ||
        fail 'pip could not install edgecv and what it needs' \
            'read what pip says above; it needs a package index, or a mirror (PIP_INDEX_URL)'
    printf '%s\n' "$want" >"$stamp"
}
