#!/bin/sh
# Builds the static agent that the management OS carries, and prints its path.
# usage: tests/build-agent.sh [x86_64|aarch64]
# The gnu target with crt-static needs nothing but the host's own C library; for another architecture see cross.sh.
set -eu
cd "$(dirname "$0")/.."
arch=${1:-$(uname -m)}
target=$arch-unknown-linux-gnu
linker=$(tests/cross.sh "$arch")
[ -z "$linker" ] || export "${linker?}"
# Under `cargo test` these are another package's, and ring's build script, which watches them, would have it and all above it
# built anew each time.
for name in $(env | sed -n 's/^\(CARGO_PKG_[A-Z_]*\|CARGO_MANIFEST_[A-Z]*\)=.*/\1/p'); do unset "$name"; done
RUSTFLAGS=$(tests/static-flags.sh "$arch") cargo build --quiet --release --package enforcer-agent --target "$target"
echo "${CARGO_TARGET_DIR:-target}/$target/release/enforcer-agent"
