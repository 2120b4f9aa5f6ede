#!/bin/sh
# What cargo needs to build for another architecture; for this host's own it is nothing. usage: tests/cross.sh x86_64|aarch64
# Gets the Rust target by rustup, and prints the variable that makes Debian's C cross compiler the linker, to be exported.
set -eu
arch=$1
[ "$arch" != "$(uname -m)" ] || exit 0
target=$arch-unknown-linux-gnu
rustup target add "$target" >&2 || { echo "cross: rustup cannot add the target $target: add it by hand" >&2; exit 1; }
case $arch in x86_64) debian=amd64 ;; *) debian=arm64 ;; esac
linker=$arch-linux-gnu-gcc packages="gcc-$(echo "$arch" | tr _ -)-linux-gnu libc6-dev-$debian-cross"
if ! command -v "$linker" >/dev/null || [ ! -e "/usr/$arch-linux-gnu/include/stdio.h" ]; then
    echo "cross: the C compiler or the C library for $arch is missing: apt-get install $packages" >&2
    exit 1
fi
echo "CARGO_TARGET_$(echo "$target" | tr 'a-z-' 'A-Z_')_LINKER=$linker"
