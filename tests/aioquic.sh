#!/bin/sh
# The Python with aioquic (QUIC; from PyPI, Debian 12 has no package of it) that runs tests/peers, in tests/.cache/aioquic; built once. Prints its path.
set -eu
cd "$(dirname "$0")"
mkdir -p .cache
exec 9>.cache/aioquic.lock
flock 9
if [ ! -e .cache/aioquic/complete ]; then
    rm -rf .cache/aioquic
    python3 -m venv .cache/aioquic >&2
    .cache/aioquic/bin/pip install --quiet --disable-pip-version-check aioquic==1.2.0 cryptography==44.0.0 >&2
    touch .cache/aioquic/complete
fi
echo "$PWD/.cache/aioquic/bin/python"
