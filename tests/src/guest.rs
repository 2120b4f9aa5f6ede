//! Images whose systems say that they are there: what the deployments of stories and demo write to disks.

use anyhow::Result;

use crate::{
    fixture,
    lab::{
        Firmware,
        tenant::{self, Tenant},
    },
};

/// The card, virtio and NVMe disks, and the FAT of a `cidata` partition.
const MODULES: [&str; 7] = [
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "nvme",
    "vfat",
    "nls_cp437",
    "nls_ascii",
];

/// An address by DHCP.
const NETWORK: &str = r#"printf '#!/bin/sh\n[ "$1" = bound ] && ip addr add $ip/${mask:-24} dev $interface\ntrue\n' > /bin/lease
chmod 755 /bin/lease
ip link set eth0 up
udhcpc -i eth0 -q -n -t 20 -T 1 -s /bin/lease >/dev/null 2>&1
"#;

/// Looks for the address to call in the `cidata` partition, as cloud-init does, and calls it until it is heard.
const CALL: &str = r#"call() {
  for part in /dev/vda? /dev/nvme0n1p?; do
    mount -t vfat -o ro $part /mnt 2>/dev/null || continue
    url=$(sed -n 's/^ *url: *//p' /mnt/vendor-data 2>/dev/null)
    umount /mnt
    [ -n "$url" ] && wget -q -O /dev/null --post-data= "$url" && return 0
  done
  return 1
}
mkdir -p /mnt; tries=0
until call || [ $tries -ge 60 ]; do tries=$((tries + 1)); sleep 1; done
[ $tries -lt 60 ] && echo PHONED-HOME
"#;

/// What a system of [`calls_home`] prints when it was heard.
pub const PHONED_HOME: &str = "PHONED-HOME";

/// An image whose system calls the address that its deployment gave it.
pub fn calls_home(name: &str) -> Tenant {
    Tenant::new(name)
        .modules(&MODULES)
        .script(&format!("{NETWORK}{CALL}"))
}

/// An image with an agent in it, which joins by what its deployment left for it.
pub fn joins(name: &str) -> Result<Tenant> {
    let daemon = "mkdir -p /var/lib\nenforcer-agent daemon >/dev/console 2>&1 &";
    Ok(Tenant::new(name)
        .modules(&MODULES)
        .file("/bin/enforcer-agent", fixture::agent()?)
        .script(&format!("{NETWORK}{daemon}")))
}

/// An image whose system listens on TCP port 80.
pub fn listens(name: &str) -> Tenant {
    Tenant::new(name)
        .modules(&MODULES)
        .script(&format!("{NETWORK}httpd -p 80 -h /"))
}

/// What the image `name` prints on machine `id` of the lab: as this machine, whose serial number it shows.
pub fn line_on(name: &str, firmware: Firmware, id: u8) -> String {
    format!("{} serial=LAB-{id:04} ", tenant::line(name, firmware))
}
