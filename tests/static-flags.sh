#!/bin/sh
# Prints the RUSTFLAGS of a static program. usage: tests/static-flags.sh [x86_64|aarch64]
set -eu
flags="-C target-feature=+crt-static"
# For x86-64 Rust links with its own lld, which can fold equal functions and pack relocations: the controller is 1 MB of
# 14.5 smaller for it. Nothing here compares the addresses of functions.
# With frame pointers the tables for unwinding need no line for each push and pop: 474 KB less of 15.6 MB.
[ "${1:-$(uname -m)}" != x86_64 ] || flags="$flags -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs -C force-frame-pointers=yes"
# Panics name sources by package and not by where they lay on the host that built it: 45 KB less, and the same program everywhere.
for registry in "${CARGO_HOME:-${HOME:-/root}/.cargo}"/registry/src/*/; do
    case $registry in *[[:space:]*]*) ;; *) flags="$flags --remap-path-prefix=$registry=" ;; esac
done
echo "${RUSTFLAGS:-} $flags"
