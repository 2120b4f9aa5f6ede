#!/bin/sh
# The Redfish emulator that tests switch (sushy-tools). Prints its path.
exec "$(dirname "$0")/venv.sh" redfish sushy-emulator sushy-tools==2.2.0
