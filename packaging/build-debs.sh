#!/bin/sh
# Makes the Debian packages of programs that were built already.
# usage: packaging/build-debs.sh FOLDER amd64|arm64 INTO
# FOLDER holds static `enforcer` and `enforcer-agent` of that architecture (tests/static-flags.sh); INTO gets enforcer_*.deb and
# enforcer-agent_*.deb, and enforcer-boot-assets_*_all.deb where GRUB's modules for x86-64 are installed.
# COMPRESSION is dpkg-deb's (xz; gzip is quicker). The same input gives the same bytes: times are SOURCE_DATE_EPOCH, by default the last commit's.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
programs=$1 arch=$2 into=$3
case $arch in amd64 | arm64) ;; *) echo "build-debs: '$arch' is not amd64 or arm64" >&2; exit 2 ;; esac
for program in enforcer enforcer-agent; do
    [ -x "$programs/$program" ] || { echo "build-debs: $programs/$program is missing: build it first" >&2; exit 1; }
done
# A program that runs here, of the same version: for packages of another architecture name one.
runs=${ENFORCER:-$programs/enforcer}
"$runs" --version >/dev/null || { echo "build-debs: $runs does not run here; name one that does with ENFORCER=" >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022
mkdir -p "$into"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

put() { install -D -m "$1" "$2" "$tree/$3"; }

# Starts the package $1 in $tree: what every one has.
begin() {
    package=$1 tree=$work/$1 doc=usr/share/doc/$1
    mkdir -p "$tree/DEBIAN" "$tree/$doc"
    printf '%s (%s) unstable; urgency=medium\n\n  * Built from the tree of this version.\n\n -- Enforcer <enforcer@localhost>  %s\n' \
        "$package" "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$tree/$doc/changelog.gz"
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: 2026 the authors of Enforcer\nLicense: MPL-2.0\n On Debian systems: /usr/share/common-licenses/MPL-2.0\n' >"$tree/$doc/copyright"
    for script in postinst prerm postrm; do
        [ ! -e "packaging/$package/$script" ] || put 755 "packaging/$package/$script" "DEBIAN/$script"
    done
}

# Ends it: $1 its architecture; the other fields of its control file come on standard input.
finish() {
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Enforcer <enforcer@localhost>\nInstalled-Size: %s\nSection: admin\nPriority: optional\n' \
            "$package" "$version" "$1" "$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f 1)"
        cat
    } >"$tree/DEBIAN/control"
    # Static on purpose: one program for every release of Debian, and for the management OS.
    if [ "$1" != all ]; then
        mkdir -p "$tree/usr/share/lintian/overrides"
        printf '%s: statically-linked-binary\n%s: shared-library-lacks-prerequisites\n' "$package" "$package" >"$tree/usr/share/lintian/overrides/$package"
    fi
    (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$tree" "$into/${package}_${version}_$1.deb" >&2
    echo "$into/${package}_${version}_$1.deb"
}

# What the program itself says: its manual, and what shells need to complete its words. The folders are those of Debian's packages
# of bash-completion, zsh and fish.
words() {
    share=$tree/usr/share
    mkdir -p "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d"
    "$runs" man "$share/man/man1"
    gzip -9n "$share"/man/man1/*.1
    "$runs" completions bash >"$share/bash-completion/completions/enforcer"
    "$runs" completions zsh >"$share/zsh/vendor-completions/_enforcer"
    "$runs" completions fish >"$share/fish/vendor_completions.d/enforcer.fish"
}

controller() {
    begin enforcer
    put 755 "$programs/enforcer" usr/bin/enforcer
    put 644 packaging/enforcer/enforcer.service usr/lib/systemd/system/enforcer.service
    put 644 packaging/enforcer/sysusers.conf usr/lib/sysusers.d/enforcer.conf
    put 644 packaging/enforcer/tmpfiles.conf usr/lib/tmpfiles.d/enforcer.conf
    put 644 docs/enforcer.toml etc/enforcer/enforcer.toml
    put 644 README.md "$doc/README.md"
    words
    echo /etc/enforcer/enforcer.toml >"$tree/DEBIAN/conffiles"
    finish "$arch" <<'END'
Depends: adduser
Recommends: enforcer-boot-assets, kmod, xz-utils
Suggests: ipmitool
Description: network boot server, agents' controller and image store
 Decides what machines that boot over the network run: an installer, the
 management OS that writes and saves disk images, or their own disk. Stands
 beside the DHCP server that is there and answers only registered machines.
END
}

agent() {
    begin enforcer-agent
    put 755 "$programs/enforcer-agent" usr/bin/enforcer-agent
    put 644 agent/enforcer-agent.service usr/lib/systemd/system/enforcer-agent.service
    # One unit for both ways of installing it.
    sed -i -e 's,/usr/local/bin/,/usr/bin/,; s,^# The Enforcer agent on an installed OS\. .*,# The Enforcer agent on an installed OS. Run,; /^# `enforcer-agent join/s/, then/ and/' \
        "$tree/usr/lib/systemd/system/enforcer-agent.service"
    finish "$arch" <<'END'
Description: agent of the Enforcer boot controller for installed systems
 Keeps this machine a member of its site: the controller knows that it is
 alive and what it is made of, and can restart it. It joins once by a token:
 enforcer-agent join TOKEN --controller ADDRESS
END
}

# The files that booting x86-64 machines load, for controllers of every architecture: iPXE is Debian's own package, which is for
# all; GRUB's modules for x86-64 are not, so what is made of them is carried.
assets() {
    begin enforcer-boot-assets
    cat >>"$tree/$doc/copyright" <<'END'

Files: usr/share/enforcer/firmware/localboot.efi
Copyright: Free Software Foundation, Inc.
License: GPL-3+
 Made by grub-mkimage of modules of Debian's package grub-efi-amd64-bin, whose source is Debian's source package grub2.
 On Debian systems: /usr/share/common-licenses/GPL-3
END
    # The program itself makes it, so that both ways give the same file.
    "$runs" firmware fill --state "$work/state" >&2
    put 644 "$work/state/firmware/localboot.efi" usr/share/enforcer/firmware/localboot.efi
    finish all <<'END'
Depends: ipxe
Enhances: enforcer
Description: boot programs that Enforcer sends to x86-64 machines
 iPXE, by Debian's package, and localboot.efi, a small GRUB by which UEFI
 machines reach their own disk.
END
}

controller
agent
if [ -e /usr/lib/grub/x86_64-efi/moddep.lst ]; then assets; else echo "build-debs: no GRUB modules for x86-64: enforcer-boot-assets is left out" >&2; fi
