#!/bin/sh
# /init of the management OS: mounts, drivers, the DHCP client; the rest is the agent's. It never ends.
# Everything it tells the agent is below /run/enforcer: lease-CARD (by the DHCP client's script) and coldplug-done.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/enforcer
# Kernel messages below "error" would break the agent's lines on the serial console.
echo 4 >/proc/sys/kernel/printk

# Loads a driver for every device there is now.
coldplug() { cat /sys/bus/*/devices/*/modalias 2>/dev/null | sort -u | xargs modprobe -aq 2>/dev/null; }

# Prints the name of the card with hardware address $1.
card_of() {
  for path in /sys/class/net/*; do
    read -r address <"$path/address"
    [ "$address" = "$1" ] && echo "${path##*/}" && return
  done
}

# Asks for an address on card $1 for as long as it takes: a switch with spanning tree blocks its port for 30 s and more.
ask_for_address() {
  ip link set "$1" up
  # A question sent before the kernel calls the card up is lost, and costs a second: `carrier` comes too early for that.
  tries=100 state=
  while [ $tries -gt 0 ]; do
    read -r state <"/sys/class/net/$1/operstate"
    case $state in up | unknown) break ;; esac
    tries=$((tries - 1))
    sleep 0.05
  done
  exec udhcpc -f -S -i "$1" -t 4 -T 1 -A 2 -V enforcer-management -s /etc/udhcpc/default.script >/dev/null 2>&1
}

# virtio's drivers come before its bus, so that the first round finds the card already; every module costs time.
case $(cat /sys/bus/pci/devices/*/vendor 2>/dev/null) in
*0x1af4*) modprobe -aq af_packet virtio_net virtio_blk 2>/dev/null ;;
esac
coldplug

boot_mac=
for word in $(cat /proc/cmdline); do
  case $word in BOOTIF=*) boot_mac=$(echo "${word#BOOTIF=}" | tr A-Z- a-z:) ;; esac
done
case $boot_mac in
??:??:??:??:??:??:??) boot_mac=${boot_mac#??:} ;;
??:??:??:??:??:??) ;;
*) boot_mac= ;;
esac

# The boot card may be a late one (USB): look for ten seconds, then take every card.
card=
if [ -n "$boot_mac" ]; then
  for round in 1 2 3 4 5 6 7 8 9 10; do
    card=$(card_of "$boot_mac")
    [ -n "$card" ] && break
    sleep 1
    coldplug
  done
fi
if [ -n "$card" ]; then
  ask_for_address "$card" &
else
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] && ask_for_address "${path##*/}" &
  done
fi

# A driver shows new devices, which want drivers: go round until nothing more is loaded. Slow buses (USB) come late.
{
  before=
  for round in 1 2 3 4 5; do
    coldplug
    after=$(wc -l </proc/modules)
    [ "$before" = "$after" ] && break
    before=$after
  done
  # Secure Boot's state is an EFI variable.
  [ -d /sys/firmware/efi ] && modprobe -q efivarfs && mount -t efivarfs -o ro efivarfs /sys/firmware/efi/efivars
  : >/run/enforcer/coldplug-done
  busybox --install -s
  for pause in 2 4 8; do sleep $pause; coldplug; done
} </dev/null >/dev/null 2>&1 &

while :; do
  enforcer-agent management
  echo "enforcer: the agent ended ($?), starting it again in 2 s"
  sleep 2
done
