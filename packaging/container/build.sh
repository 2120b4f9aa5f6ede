#!/bin/sh
# Makes the container image of the controller, from nothing: the program, the boot programs it sends, the CAs that it fetches by.
# usage: packaging/container/build.sh FOLDER [NAME]
# FOLDER holds a static `enforcer` of this architecture (tests/static-flags.sh, or `make debs`); a dynamic one brings its libraries.
# NAME is the image's, localhost/enforcer:VERSION unless given. Needs Debian's buildah, ipxe, libcap2-bin, GRUB's modules for x86-64; no root.
# BUILDAH may name more words, such as "buildah --root FOLDER".
set -eu
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
# Without root, files of other owners and rights of programs are made in a user namespace.
if [ "$(id -u)" != 0 ] && [ -z "${ENFORCER_UNSHARED:-}" ]; then exec env ENFORCER_UNSHARED=1 buildah unshare "$0" "$@"; fi
program=$1/enforcer
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=${2:-localhost/enforcer:$version}
buildah=${BUILDAH:-buildah}
# Nobody's on any host; the volume belongs to it.
user=64848
umask 022
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$program" usr/bin/enforcer
# As the package's unit gives them: ports below 1024, and copies of what comes to port 67.
setcap cap_net_bind_service,cap_net_raw+ep "$root/usr/bin/enforcer"
! ldd "$program" >"$root/needs" 2>/dev/null || sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p' "$root/needs" | while read -r library; do put 755 "$library" "${library#/}"; done
rm -f "$root/needs"
put 644 /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0::/:/\nenforcer:x:%s:%s:Enforcer controller:/var/lib/enforcer:/\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nenforcer:x:%s:\n' $user >"$root/etc/group"
for file in undionly.kpxe snponly.efi ipxe.efi; do put 644 "/usr/lib/ipxe/$file" "usr/lib/ipxe/$file"; done
# A program of another architecture: ENFORCER names one that runs here.
"${ENFORCER:-$program}" firmware fill --state "$root/state" >&2
put 644 "$root/state/firmware/localboot.efi" usr/share/enforcer/firmware/localboot.efi
rm -rf "$root/state"
install -d -m 1777 "$root/tmp"
install -d -o $user -g $user -m 0750 "$root/var/lib/enforcer"
install -d -o $user -g $user -m 0755 "$root/run/enforcer"

# In Docker's format: that of OCI has no health check.
container=$($buildah from --format docker scratch)
trap 'rm -rf "$root"; $buildah rm "$container" >/dev/null' EXIT
# As a tar: owners and the program's capabilities come along.
tar -C "$root" --xattrs --xattrs-include=security.capability --numeric-owner -cf "$root.tar" .
tree=$($buildah mount "$container")
tar -C "$tree" --xattrs --xattrs-include=security.capability --numeric-owner -xpf "$root.tar"
rm "$root.tar"
$buildah umount "$container" >/dev/null
$buildah config \
    --user enforcer --entrypoint '["/usr/bin/enforcer"]' --cmd serve --stop-signal SIGTERM \
    --env ENFORCER_STATE=/var/lib/enforcer --env ENFORCER_API_SOCKET=/run/enforcer/api.sock --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    --volume /var/lib/enforcer --workingdir /var/lib/enforcer \
    --healthcheck 'CMD /usr/bin/enforcer members list -o name' --healthcheck-interval 30s --healthcheck-timeout 10s --healthcheck-start-period 20s \
    --label org.opencontainers.image.title=enforcer --label "org.opencontainers.image.version=$version" \
    --label org.opencontainers.image.licenses=MPL-2.0 "$container"
$buildah commit --quiet --format docker "$container" "$name"
