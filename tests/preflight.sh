#!/bin/sh
# Does this host have what `make test` and (with the words `demo` and `bench`) `make demo` and `make bench` need? Installs what is
# missing when it may (root, or sudo without a password) and never asks; else it names all that is missing and prints
# one line to paste. The list is packages.txt; the Rust version is Cargo.toml's.
set -eu
cd "$(dirname "$0")"
mode=${1:-test}
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# Prefix of commands that need root: "" when we are root; `may` says whether we may use it.
if [ "$(id -u)" = 0 ]; then sudo='' may=yes; elif sudo -n true 2>/dev/null; then sudo='sudo -n' may=yes; else sudo=sudo may=no; fi

missing_packages() {
    while read -r what package only; do
        case $what in '' | '#'*) continue ;; esac
        [ -z "$only" ] || [ "$only" = "$mode" ] || continue
        case $what in
        /*) [ -e "$what" ] && continue ;;
        *) command -v "$what" >/dev/null 2>&1 && continue ;;
        esac
        echo "$package"
    done <packages.txt | sort -u | tr '\n' ' '
}

# Servers that Debian starts when it installs them. We only run them inside the lab, so they stay off.
services_of() {
    for package in $1; do
        case $package in nginx-light) echo nginx ;; isc-dhcp-relay | tftpd-hpa | kea-dhcp4-server | serf | rsync) echo "$package" ;; esac
    done | tr '\n' ' '
}

# While packages are installed this file forbids to start their services (policy-rc.d: 101 is "not allowed").
forbid_starts() {
    [ -e /usr/sbin/policy-rc.d ] && return
    trap '$sudo rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null
    $sudo chmod 755 /usr/sbin/policy-rc.d
}

install_packages() {
    echo "preflight: installing $1"
    forbid_starts
    # shellcheck disable=SC2086 # words on purpose
    { $sudo apt-get -qq update && $sudo env DEBIAN_FRONTEND=$DEBIAN_FRONTEND apt-get -qq -y --no-install-recommends install $1; } </dev/null || return
    services=$(services_of "$1")
    # shellcheck disable=SC2086
    [ -z "$services" ] || [ ! -d /run/systemd/system ] || $sudo systemctl --quiet disable $services || true
}

# "" or what is wrong with Rust.
rust_wrong() {
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' ../Cargo.toml)
    have=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
    if [ -z "$have" ]; then
        echo "Rust $want or newer (none found)"
    elif [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ]; then
        echo "Rust $want or newer (found $have)"
    elif ! command -v cargo-clippy >/dev/null || ! cargo fmt --version >/dev/null 2>&1; then
        echo "clippy and rustfmt"
    fi
}

# The Rust target of the programs that a test runs by an emulator.
target=aarch64-unknown-linux-gnu
target_missing() { [ "$mode" = test ] && [ -z "$rust" ] && [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; }

tun_usable() { [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] || { [ -r /dev/net/tun ] && [ -w /dev/net/tun ]; }; }
mend_tun() { $sudo modprobe tun; [ "$(id -u)" = 0 ] || $sudo chmod 0666 /dev/net/tun; }
namespaces_usable() { [ "$(id -u)" = 0 ] || unshare --user --map-root-user --net true 2>/dev/null; }

if [ ! "$(command -v apt-get)" ]; then
    echo "preflight: this host has no apt-get; the lab is tested on Debian 12. It needs the programs of tests/packages.txt" >&2
    exit 1
fi

packages=$(missing_packages)
if [ -n "$packages" ] && [ $may = yes ]; then
    install_packages "$packages" || echo "preflight: apt-get could not install all of it" >&2
    packages=$(missing_packages)
fi
rust=$(rust_wrong)
if [ -n "$rust" ] && command -v rustup >/dev/null; then
    echo "preflight: $rust is missing: asking rustup"
    rustup toolchain install stable --profile minimal -c clippy -c rustfmt </dev/null || true
    rust=$(rust_wrong)
fi
if target_missing && command -v rustup >/dev/null; then
    echo "preflight: asking rustup for $target"
    rustup target add $target </dev/null || true
fi
tun_usable || [ $may = no ] || mend_tun || true

# What is still missing, and one line that cures all of it.
list='' line=''
need() { list="$list  $1
" line="${line:+$line && }$2"; }
root=${sudo:+sudo }
if [ -n "$packages" ]; then
    services=''
    [ ! -d /run/systemd/system ] || services=$(services_of "$packages")
    need "packages: $packages" "${root}apt-get update && ${root}env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages% }${services:+ && ${root}systemctl disable --now ${services% }}"
fi
if [ -n "$rust" ]; then
    if command -v rustup >/dev/null; then
        need "$rust" "rustup default stable && rustup update stable && rustup component add clippy rustfmt"
    else
        need "$rust" "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    fi
fi
! target_missing || need "the Rust target $target" "rustup target add $target"
tun_usable || need "/dev/net/tun, readable and writable" "${root}modprobe tun && ${root}chmod 0666 /dev/net/tun"
[ -n "$packages" ] || namespaces_usable ||
    need "network namespaces for users who are not root" "${root}sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000"
[ -z "$list" ] && exit 0
printf 'preflight: this host lacks\n%s\npaste this line, then try again:\n\n  %s\n\n' "$list" "$line" >&2
exit 1
