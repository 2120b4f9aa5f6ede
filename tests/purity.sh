#!/bin/sh
# The pure crates depend on nothing that could touch a clock, a socket, a file or an executor: every crate they pull in
# is on the list below. Clippy's disallowed methods (their clippy.toml) cover the standard library.
set -eu
cd "$(dirname "$0")/.."

# Derives (run at compile time), their helpers, and plain data. A new name here is a decision: say in the commit why it is pure.
allowed="proc-macro2 quote syn unicode-ident serde serde_core serde_derive thiserror thiserror-impl bytes serde_json itoa memchr ryu zmij sha2 hmac digest block-buffer crypto-common generic-array typenum version_check subtle cfg-if cpufeatures"
# Membership: foca is sans-io itself. Its rand is built without getrandom and the system's generator: every seed is handed in.
allowed="$allowed foca rand rand_core bincode unty"
# Seal: arithmetic on bytes and keys.
allowed="$allowed chacha20poly1305 chacha20 poly1305 aead cipher inout universal-hash opaque-debug zeroize"
# Chunks: BLAKE3, and what its build script needs to assemble its inner loops.
allowed="$allowed blake3 arrayref arrayvec constant_time_eq cc find-msvc-tools shlex"

# The crates that PACKAGE brings along and the list does not know.
strangers() {
    tree=$(cargo tree --locked --quiet --package "$1" --edges normal,build --prefix none --format '{p}') || return 1
    echo "$tree" | cut -d ' ' -f 1 | sort -u | while read -r crate; do
        case " $1 $allowed " in *" $crate "*) ;; *) echo "$crate" ;; esac
    done
}

for pure in image ipxe mesh-proto; do
    found=$(strangers $pure)
    [ -z "$found" ] || { echo "purity: $pure must stay pure, but now depends on:" $found >&2; exit 1; }
done
# The check itself must be able to fail: the driver beside the core is full of sockets.
strangers ipxe-net | grep -qx tokio || { echo "purity: the check no longer sees that ipxe-net uses tokio" >&2; exit 1; }
echo "image, ipxe and mesh-proto are pure"
