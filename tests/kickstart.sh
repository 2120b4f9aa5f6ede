#!/bin/sh
# The `ksvalidator` that Fedora's installer brings its syntax with (pykickstart). Prints its path.
exec "$(dirname "$0")/venv.sh" pykickstart ksvalidator pykickstart==3.78 requests==2.34.2
