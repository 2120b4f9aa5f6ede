#!/bin/sh
# The Python with aioquic (QUIC) that runs tests/peers. Prints its path.
exec "$(dirname "$0")/venv.sh" aioquic python aioquic==1.2.0 cryptography==44.0.0
