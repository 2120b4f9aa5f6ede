#!/usr/bin/env bash
# Do the Debian packages install, start, take over older state, and go again? In a minimal Debian of their own and a private
# network. Needs root, debootstrap and systemd-analyze; the minimal Debian is kept in tests/.cache.
# usage: tests/packages.sh FOLDER   (of static programs, see packaging/build-debs.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
# The exposure that `systemd-analyze security` may find at most, in tenths. The controller has a network and two capabilities.
controller_exposure=20
# Root, devices and /sys: what an agent is for.
agent_exposure=35
# How long a start may take on a busy host, seconds.
patience_s=20

fail() { echo "packages: $*" >&2; exit 1; }
step() { printf '%3d s  %s\n' "$SECONDS" "$1"; }

# A minimal Debian with what the packages depend on; whole or not at all.
minimal_debian() {
    base=tests/.cache/debian-bookworm
    [ ! -d $base ] || return 0
    step "debootstrap (once)"
    mkdir -p tests/.cache && rm -rf $base.half
    debootstrap --variant=minbase --include=adduser,ipxe bookworm $base.half >&2 || fail "debootstrap failed"
    mv $base.half $base
}

units_hold() {
    local unit tenths
    for unit in enforcer:$controller_exposure enforcer-agent:$agent_exposure; do
        local file=$root/usr/lib/systemd/system/${unit%:*}.service
        tenths=$(systemd-analyze security --offline=true "$file" --no-pager | sed -n 's/.*exposure level for .*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
        [ -n "$tenths" ] && [ "$((10#$tenths))" -le "${unit#*:}" ] || fail "${unit%:*}.service is exposed: $tenths tenths, not ${unit#*:}"
        systemd-analyze verify --root="$root" --man=no "/usr/lib/systemd/system/${unit%:*}.service" 2>&1 | grep "enforcer" >"$work/words" &&
            fail "${unit%:*}.service: $(cat "$work/words")"
        grep -q '^Type=notify' "$file" && grep -q '^WatchdogSec=' "$file" || fail "${unit%:*}.service does not wait for word"
    done
}

inside() { "${into_root[@]}" "$@"; }
install_debs() { inside sh -c 'dpkg --install /debs/*.deb' >"$work/dpkg" 2>&1 || fail "dpkg: $(cat "$work/dpkg")"; }

# As the unit starts it: its user, its capabilities and no others, its places.
start_controller() {
    local caps=+net_bind_service,+net_raw
    install -d -o "$(owner_id)" -g "$(owner_id)" "$root/run/enforcer"
    # No function in the background: its shell would have the process number.
    "${into_root[@]}" setpriv --reuid enforcer --regid enforcer --init-groups --bounding-set "-all,$caps" --inh-caps "-all,$caps" --ambient-caps "-all,$caps" --no-new-privs \
        env ENFORCER_STATE=/var/lib/enforcer ENFORCER_API_SOCKET=/run/enforcer/api.sock \
        enforcer serve --config /etc/enforcer/enforcer.toml >"$work/log" 2>&1 &
    controller=$!
    local until=$((SECONDS + patience_s))
    until [ "$(curl -s --unix-socket "$root/run/enforcer/api.sock" http://localhost/healthz)" = ok ]; do
        kill -0 $controller 2>/dev/null && [ $SECONDS -lt $until ] || fail "the controller does not answer: $(cat "$work/log")"
        sleep 0.1
    done
}
stop_controller() { kill $controller && wait $controller || fail "the controller did not end well: $(cat "$work/log")"; }
owner_id() { inside id -u enforcer; }

fresh() {
    install_debs
    grep -q 'enforcer-agent join TOKEN' "$work/dpkg" || fail "nobody is told how to join"
    units_hold
    start_controller
    inside enforcer firmware list | grep -q '^localboot.efi.*enforcer-boot-assets' || fail "localboot.efi is not the package's: $(inside enforcer firmware list)"
    inside enforcer machines register 52:54:00:12:34:56 --name web1 >/dev/null
    stop_controller
}

# A controller that root ran by hand, of an older version, left its state.
over_older_state() {
    local state=$root/var/lib/enforcer schema=$1
    rm -rf "$state" && mkdir -p "$state"
    zstd -qd "tests/fixtures/$schema" -o "$state/enforcer.redb"
    echo '# a person was here' >>"$root/etc/enforcer/enforcer.toml"
    install_debs
    [ -z "$(find "$state" ! -user "$(owner_id)")" ] || fail "root keeps files of the controller"
    grep -q 'a person was here' "$root/etc/enforcer/enforcer.toml" || fail "the settings were overwritten"
    start_controller
    [ "$(inside enforcer machines list | wc -l)" -gt 1 ] || fail "the machines of $schema are gone"
    stop_controller
}

gone() {
    inside dpkg --remove enforcer enforcer-agent enforcer-boot-assets >/dev/null 2>&1
    [ -e "$root/var/lib/enforcer/enforcer.redb" ] && [ -e "$root/etc/enforcer/enforcer.toml" ] || fail "removing took the state"
    inside dpkg --purge enforcer enforcer-agent enforcer-boot-assets >"$work/dpkg" 2>&1 || fail "purging: $(cat "$work/dpkg")"
    local left
    left=$(find "$root"/{etc,usr,var,run} -xdev -name '*enforcer*' ! -path '*/run/enforcer*')
    [ -z "$left" ] || fail "purging left $left"
}

if [ "${1:-}" != --inside ]; then
    [ $# -eq 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
    [ "$(id -u)" = 0 ] || fail "a Debian of its own needs root"
    minimal_debian
    debs=$(mktemp -d)
    trap 'rm -rf "$debs"' EXIT
    COMPRESSION=gzip packaging/build-debs.sh "$1" "$(dpkg --print-architecture)" "$debs" >"$debs/log" 2>&1 || fail "$(cat "$debs/log")"
    step "packages built"
    unshare --mount --net --pid --fork --kill-child "$0" --inside "$debs"
    step "done"
    exit
fi

# Inside: mounts, network and processes end with us. What is written goes to memory, over the kept Debian.
work=$(mktemp -d /tmp/enforcer-packages.XXXXXX)
trap 'rmdir "$work" 2>/dev/null || true' EXIT
mount -t tmpfs none "$work"
root=$work/root
into_root=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C)
mkdir "$work/upper" "$work/work" "$root"
mount -t overlay none -o "lowerdir=$PWD/tests/.cache/debian-bookworm,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc none "$root/proc"
mkdir "$root/debs" && cp "$2"/*.deb "$root/debs"
ip link set lo up
ip link add lan type veth peer name room
ip address add 10.9.0.1/24 dev lan
ip link set lan up && ip link set room up

fresh
step "installed and started"
for schema in $(cd tests/fixtures && ls store-schema-*.redb.zst); do
    over_older_state "$schema"
    step "took over $schema"
done
gone
step "removed and purged"
cd / && umount -R "$root" && umount "$work"
