#!/bin/sh
# `make debs`: both programs, static, and their Debian packages for this architecture, in target/debs; ARCH=arm64 or ARCH=amd64 makes
# them for another one (tests/cross.sh says what that needs).
# PROGRAMS names a folder of programs that were built already; DEBS another folder for the packages.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
own=$(dpkg --print-architecture)
arch=${ARCH:-$own}
case $arch in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*) echo "debs: ARCH is amd64 or arm64, not '$arch'" >&2 && exit 2 ;;
esac
built=${CARGO_TARGET_DIR:-target}
into=${DEBS:-$built/debs}
if [ -z "${PROGRAMS:-}" ]; then
    target=$machine-unknown-linux-gnu
    linker=$(tests/cross.sh "$machine")
    [ -z "$linker" ] || export "${linker?}"
    RUSTFLAGS=$(tests/static-flags.sh "$machine") cargo build --locked --release --target "$target" --package enforcer --package enforcer-agent
    PROGRAMS=$built/$target/release
    # The manual and the words that shells complete are told by a program that runs here.
    [ "$arch" = "$own" ] || { cargo build --locked --package enforcer && export ENFORCER="$built/debug/enforcer"; }
fi
mkdir -p "$into"
rm -f "$into"/enforcer*_"$arch".deb "$into"/enforcer*_all.deb
exec packaging/build-debs.sh "$PROGRAMS" "$arch" "$into"
