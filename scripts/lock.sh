#!/usr/bin/env bash
# Writes requirements.lock anew from pyproject.toml. The pins that are there are kept; `--upgrade` renews them all,
# `--upgrade-package duckdb` one. uv does it, as one lock is to serve Python 3.10 to 3.13, which pip-compile can't write.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=build/lock
if [ ! -x $tools/bin/uv ]; then
    .venv/bin/python -m venv $tools
    $tools/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
fi

cp requirements.lock $tools/resolved
$tools/bin/uv pip compile --quiet pyproject.toml --extra dashboard --extra dev --universal --python-version 3.10 \
    --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock" "$@" --output-file $tools/resolved

# An entry with extras comes a second time without them: pip before 23.3 doesn't see that name[extra]==1 pins name too.
awk '
    function flush() { printf "%s", entry; if (sub(/^[a-z0-9-]+\[[a-z,]+\]/, name, entry)) printf "%s", entry; entry = "" }
    /^[^ ]/ { flush(); name = $0; sub(/\[.*/, "", name) }
    { entry = entry $0 "\n" }
    END { flush() }
' $tools/resolved >requirements.lock
