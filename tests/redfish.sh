#!/bin/sh
# The Redfish emulator that tests switch (sushy-tools, from PyPI), in tests/.cache/redfish; built once. Prints its path.
set -eu
cd "$(dirname "$0")"
mkdir -p .cache
exec 9>.cache/redfish.lock
flock 9
program=$PWD/.cache/redfish/bin/sushy-emulator
if [ ! -x "$program" ]; then
    rm -rf .cache/redfish
    python3 -m venv .cache/redfish >&2
    .cache/redfish/bin/pip install --quiet --disable-pip-version-check sushy-tools==2.2.0 >&2
fi
echo "$program"
