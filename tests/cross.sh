#!/bin/sh
# What cargo needs to build for another architecture; for this host's own it is nothing. usage: tests/cross.sh x86_64|aarch64
# Gets the Rust target by rustup, and prints the variable that makes Debian's C cross compiler the linker, to be exported.
set -eu
arch=$1
[ "$arch" != "$(uname -m)" ] || exit 0
target=$arch-unknown-linux-gnu
rustup target add "$target" >&2 || { echo "cross: rustup cannot add the target $target: add it by hand" >&2; exit 1; }
linker=$arch-linux-gnu-gcc name=$(echo "$arch" | tr _ -)
command -v "$linker" >/dev/null || { echo "cross: $linker is missing: apt-get install gcc-$name-linux-gnu" >&2; exit 1; }
echo "CARGO_TARGET_$(echo "$target" | tr 'a-z-' 'A-Z_')_LINKER=$linker"
