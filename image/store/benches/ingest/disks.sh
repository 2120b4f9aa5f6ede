#!/bin/sh
# Makes what the bench takes in, below DIR: a disk with an ext4 file system that half fills it, made of this host's programs,
# libraries and texts; the same with one byte in twenty changed, by whole folders, as packages change; and the first one packed.
# usage: disks.sh DIR
set -eu
dir=$1
[ ! -e "$dir/done" ] || exit 0
rm -rf "$dir" && mkdir -p "$dir/tree"
cp -a --parents /usr/bin /usr/lib/"$(uname -m)"-linux-gnu /usr/share "$dir/tree" 2>/dev/null || true
all=$(du -sb "$dir/tree" | cut -f 1)

disk() {
    mke2fs -q -t ext4 -b 4096 -d "$dir/tree" -U 6d7e5b64-0000-4000-8000-000000000001 \
        -E hash_seed=6d7e5b64-0000-4000-8000-000000000002,lazy_itable_init=0 "$dir/$1.img" "$((all * 2 / 1048576 + 1))M"
}

disk tree
# Folders in an order that looks random and is the same each time, until a twentieth of the bytes lies in them. Files are
# written over in place, so that everything else stays where it was on the disk.
changed=0
find "$dir/tree" -type d | sort | awk '{ h = 7; for (i = 1; i <= length($0); i++) h = (h * 31 + length($0) * i) % 99991; print h, $0 }' |
    sort -n | cut -d ' ' -f 2- | while read -r folder && [ "$changed" -lt $((all / 20)) ]; do
    for file in "$folder"/*; do
        [ -f "$file" ] && [ ! -L "$file" ] && [ "$changed" -lt $((all / 20)) ] || continue
        # Other bytes that pack as well as these did.
        tr '\000-\377' '\001-\377\000' <"$file" >"$dir/new" && cat "$dir/new" >"$file"
        changed=$((changed + $(stat -c %s "$file")))
    done
    echo "$changed" >"$dir/changed.bytes"
done
disk changed
rm -rf "${dir:?}/tree" "$dir/new"

gzip -1 -c "$dir/tree.img" >"$dir/tree.img.gz"
zstd -q -3 -c "$dir/tree.img" >"$dir/tree.img.zst"
# xz is slow: a part must do.
head -c 512M "$dir/tree.img" | xz -1 -T 0 >"$dir/tree.img.xz"
touch "$dir/done"
