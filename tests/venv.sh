#!/bin/sh
# venv.sh NAME PROGRAM PACKAGE…: a Python environment in tests/.cache/NAME with these packages of PyPI, for what Debian 12 has no package of;
# built once. Prints the path of PROGRAM in it.
set -eu
cd "$(dirname "$0")"
name=$1 program=$2
shift 2
mkdir -p .cache
exec 9>".cache/$name.lock"
flock 9
if [ ! -e ".cache/$name/complete" ]; then
    rm -rf ".cache/$name"
    python3 -m venv ".cache/$name" >&2
    ".cache/$name/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    touch ".cache/$name/complete"
fi
echo "$PWD/.cache/$name/bin/$program"
