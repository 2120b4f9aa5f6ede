#!/bin/sh
# What asks every operation of the API for values that fit its document and for values that do not (schemathesis). Prints its path.
exec "$(dirname "$0")/venv.sh" schemathesis schemathesis schemathesis==4.32.5
