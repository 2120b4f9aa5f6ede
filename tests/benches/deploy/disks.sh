#!/bin/sh
# Makes the disks that the bench of deployments works with, below DIR, once: `os.img`, 2 GiB with a GUID table and one ext4 file
# system, half filled with this host's programs, libraries and texts, the rest holes; `full.img`, 1 GiB of random bytes; and of
# os.img a block map (`os.bmap`) and what `zstd -3` makes of it (`os.zst`).
# usage: disks.sh DIR
set -eu
mkdir -p "$1"
dir=$(realpath "$1")
[ ! -e "$dir/done" ] || exit 0
rm -rf "$dir" && mkdir -p "$dir/tree"
PATH=$PATH:/usr/sbin:/sbin
wanted=$((1024 * 1048576)) # bytes of files

# Whole files in an order that is the same each time, until there are enough.
(cd / && find usr/bin usr/sbin usr/lib usr/share -xdev -type f -size -64M -printf '%s %p\n' 2>/dev/null) | sort -k 2 |
    awk -v most="$wanted" '{ sum += $1; if (sum > most) exit; sub(/^[0-9]+ /, ""); print }' >"$dir/list"
(cd / && cpio -pdm --quiet "$dir/tree" <"$dir/list")
truncate -s 2G "$dir/os.img"
printf 'label: gpt\nstart=2048\n' | sfdisk -q "$dir/os.img"
mke2fs -q -t ext4 -b 4096 -E offset=1048576,lazy_itable_init=0 -d "$dir/tree" "$dir/os.img" $(((2048 - 2) * 256))
rm -rf "$dir/tree"
# What mke2fs wrote as zeros becomes holes.
fallocate --dig-holes "$dir/os.img"
bmaptool create -o "$dir/os.bmap" "$dir/os.img"
zstd -q -3 "$dir/os.img" -o "$dir/os.zst"
head -c 1G /dev/urandom >"$dir/full.img"
touch "$dir/done"
