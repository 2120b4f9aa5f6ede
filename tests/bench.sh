#!/bin/sh
# `make bench`: figures beside other servers, in one run; docs/BENCHMARKS.md says what they mean.
# usage: tests/bench.sh [dhcp|tftp|script|files|footprint|api|power_on|mesh|deploy …]
# What is measured is the binary that is shipped: static, optimised.
set -eu
cd "$(dirname "$0")/.."
tests/preflight.sh bench
[ $# -gt 0 ] || set -- footprint api dhcp tftp script files power_on mesh deploy
target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS=$(tests/static-flags.sh) cargo build --quiet --release --target "$target" -p enforcer -p enforcer-agent
ENFORCER_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/$target/release/enforcer")
ENFORCER_AGENT_BIN=$(dirname "$ENFORCER_BIN")/enforcer-agent
export ENFORCER_BIN ENFORCER_AGENT_BIN
cargo build --quiet --release -p enforcer-tests --bins
failed=
for bench in "$@"; do
    cargo bench --quiet -p enforcer-tests --bench "$bench" || failed="$failed $bench"
done
[ -z "$failed" ] || { echo "figures are missed in:$failed" >&2; exit 1; }
