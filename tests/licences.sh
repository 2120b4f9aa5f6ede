#!/bin/sh
# Where our dependencies come from, under which licences, and which of them we never want: what cargo-deny's `bans licenses
# sources` would say, in a second and without a program that takes minutes to build. (Its advisories need the network.)
set -eu
cd "$(dirname "$0")/.."

# Licences (alternatives with OR) that may be linked into a program under the MPL-2.0. CDLA: webpki-roots, a list of CAs that
# mail-send names and we never link (this host's CAs are used).
allowed='MIT|Apache-2\.0|Apache-2\.0 WITH LLVM-exception|BSD-2-Clause|BSD-3-Clause|BSL-1\.0|CDLA-Permissive-2\.0|CC0-1\.0|ISC|MIT-0|Unicode-3\.0|Unlicense|Zlib|MPL-2\.0\+?'
# A second TLS stack in C, or one of the system: rustls with ring is ours.
banned='openssl-sys native-tls aws-lc-sys'

# Crates whose licence, cut at OR, AND and brackets, holds a word that is not on the list.
unlicensed() {
    cargo tree --locked --workspace --edges normal,build --prefix none --format '{l};{p}' "$@" | sort -u | grep ';.' |
        sed 's/ (\*)$//' | while IFS=';' read -r licence crate; do
        words=$(echo "$licence" | sed 's/ OR \| AND \|\//\n/g' | tr -d '()')
        [ -n "$words" ] && ! echo "$words" | grep -qvxE "$allowed" || echo "$crate: ${licence:-no licence}"
    done
}

bad=$(unlicensed)
[ -z "$bad" ] || { printf 'licences that nobody has agreed to:\n%s\n' "$bad" >&2; exit 1; }
if grep '^source' Cargo.lock fuzz/Cargo.lock | grep -v '"registry+https://github.com/rust-lang/crates.io-index"'; then
    echo "licences: a dependency does not come from crates.io" >&2
    exit 1
fi
for crate in $banned; do
    ! grep -q "^name = \"$crate\"" Cargo.lock || { echo "licences: $crate must not be used" >&2; exit 1; }
done
# The check itself must be able to fail.
allowed='MIT' && [ -n "$(unlicensed)" ] || { echo "licences: the check no longer sees other licences than MIT" >&2; exit 1; }
echo "every dependency comes from crates.io under an agreed licence"
