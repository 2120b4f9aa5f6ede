#!/bin/sh
# The `ksvalidator` that Fedora's installer brings its syntax with (pykickstart; from PyPI, Debian 12 has no package of it), in
# tests/.cache/pykickstart; built once. Prints its path.
set -eu
cd "$(dirname "$0")"
mkdir -p .cache
exec 9>.cache/pykickstart.lock
flock 9
if [ ! -e .cache/pykickstart/complete ]; then
    rm -rf .cache/pykickstart
    python3 -m venv .cache/pykickstart >&2
    .cache/pykickstart/bin/pip install --quiet --disable-pip-version-check pykickstart==3.78 requests==2.34.2 >&2
    touch .cache/pykickstart/complete
fi
echo "$PWD/.cache/pykickstart/bin/ksvalidator"
