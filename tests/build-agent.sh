#!/bin/sh
# Builds the static agent that the management OS carries, and prints its path.
# usage: tests/build-agent.sh [x86_64|aarch64]
# The gnu target with crt-static needs nothing but the host's own C library; another architecture needs its Rust
# target and its C cross compiler (Debian: gcc-aarch64-linux-gnu).
set -eu
cd "$(dirname "$0")/.."
arch=${1:-$(uname -m)}
target=$arch-unknown-linux-gnu
if [ "$arch" != "$(uname -m)" ]; then
  rustup target add "$target" >&2 || { echo "build-agent: rustup cannot add the target $target: add it by hand" >&2; exit 1; }
  linker=$arch-linux-gnu-gcc
  command -v "$linker" >/dev/null || { echo "build-agent: $linker is missing: apt-get install gcc-$arch-linux-gnu" >&2; exit 1; }
  export "CARGO_TARGET_$(echo "$target" | tr 'a-z-' 'A-Z_')_LINKER=$linker"
fi
# Under `cargo test` these are another package's, and ring's build script, which watches them, would have it and all above it
# built anew each time.
for name in $(env | sed -n 's/^\(CARGO_PKG_[A-Z_]*\|CARGO_MANIFEST_[A-Z]*\)=.*/\1/p'); do unset "$name"; done
RUSTFLAGS=$(tests/static-flags.sh "$arch") cargo build --quiet --release --package enforcer-agent --target "$target"
echo "${CARGO_TARGET_DIR:-target}/$target/release/enforcer-agent"
