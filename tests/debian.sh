#!/bin/sh
# A minimal Debian 12 with systemd, as somebody's fresh host is, in tests/.cache; made once. Prints its path. Needs root.
# What it takes packages from is what this host uses: the same mirror, the same proxy.
set -eu
cd "$(dirname "$0")"
# What our packages depend on and recommend, so that they install without an archive; sudo and curl are what the documents type;
# manual and completion are what the packages bring along for.
with=systemd-sysv,dbus,sudo,adduser,ca-certificates,curl,ipxe,kmod,xz-utils,man-db,bash-completion
recipe=$(echo "1 $with" | cksum | cut -d ' ' -f 1)
base=.cache/debian-$recipe
mkdir -p .cache
exec 9>.cache/debian.lock
flock 9
if [ ! -d "$base" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Codename: bookworm' 2>/dev/null | head -n 1)
    rm -rf "$base.half"
    debootstrap --variant=minbase --include=$with bookworm "$base.half" "${mirror:-http://deb.debian.org/debian}" >.cache/debian.log 2>&1 ||
        { tail -n 20 .cache/debian.log >&2; echo "debian.sh: debootstrap failed" >&2; exit 1; }
    apt-config dump | grep -E '^Acquire::(https?|Retries|ForceIPv)' >"$base.half/etc/apt/apt.conf.d/90host" || true
    rm -rf "$base.half"/var/cache/apt/archives/*.deb
    mv "$base.half" "$base"
fi
echo "$PWD/$base"
