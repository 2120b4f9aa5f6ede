#!/bin/sh
# `make demo`: checks the host, builds, and plays the demo. See src/bin/demo.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
tests/preflight.sh demo
cargo build --locked --bins --package enforcer --package enforcer-tests
exec "${CARGO_TARGET_DIR:-target}/debug/demo"
