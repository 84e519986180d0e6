#!/usr/bin/env bash
# Makes .venv: the packages that requirements.lock pins, this package itself, and the jars of ivy.xml.
# What is there already is not done again. PYTHON=... chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "$1" >&2
    exit 1
}

minor_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

supported() {
    case "$(minor_version "$1")" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3}; do
        if supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.10 to 3.13 is needed, 3.11 preferred${PYTHON:+ ($PYTHON is not)}:\
 apt-get install python3.11-venv | dnf install python3.11 | brew install python@3.11"
}

# Works, was made in this directory (its scripts name it), and by the Python that is asked for.
usable_environment() {
    supported .venv/bin/python && grep -qF "$PWD/.venv/bin/python" .venv/bin/pip &&
        { [ -z "${PYTHON:-}" ] || [ "$(minor_version .venv/bin/python)" = "$(minor_version "$PYTHON")" ]; }
}

install_java() {
    echo "Installing Java ..."
    apt-get update -qq
    for version in 17 21; do
        if DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            "openjdk-$version-jre-headless" </dev/null >/dev/null; then
            return
        fi
    done
}

python=.venv/bin/python
if ! usable_environment; then
    base=$(find_python)
    echo "Making .venv with $("$base" --version) ..."
    "$base" -m venv --clear .venv
fi

# Before the long part, so that what is missing is said at once.
if ! java=$("$python" -m music_lakehouse.jars java 2>&1); then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -z "${JAVA_HOME:-}" ] || fail "$java"
    install_java
    "$python" -m music_lakehouse.jars java
fi

installed=$(cksum requirements.lock pyproject.toml)
if [ "$(cat .venv/installed 2>/dev/null)" != "$installed" ]; then
    echo "Installing the packages of requirements.lock (a few minutes the first time) ..."
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$installed" >.venv/installed
fi

"$python" -m music_lakehouse.jars
"$python" -m music_lakehouse.class_archives
