"""What of the facts goes into an enrolment, and the digest they are known by: docs/PROTOCOL.md."""

import hashlib
import json

SMBIOS = (
    "vendor product serial uuid board_vendor board_product board_serial chassis_serial chassis_asset_tag firmware_version"
).split()


def identity_part(facts):
    """What says which machine this is, short enough for an enrolment."""
    return {**facts, "nics": facts["nics"][:16], "disks": facts["disks"][:32], "pci": []}


def digest(facts):
    """32 hex digits that change with the hardware."""
    stable = {name: facts.get(name) for name in ("v", "arch", "firmware", "secure_boot")}
    tpm = facts.get("tpm")
    stable["tpm"] = tpm and {"version": tpm.get("version")}
    stable["smbios"] = {name: facts["smbios"].get(name) for name in SMBIOS}
    cpu = facts["cpu"]
    stable["cpu"] = {"model": cpu.get("model"), **{name: cpu[name] for name in ("sockets", "cores", "threads")}}
    stable["memory_bytes"] = facts["memory"]["bytes"]
    stable["nics"] = sorted((nic.get("permanent_mac") or nic["mac"] for nic in facts["nics"]), key=order)
    stable["disks"] = sorted(map(disk, facts["disks"]), key=lambda disk: [order(value) for value in disk.values()])
    stable["pci"] = sorted(
        ([device[name] for name in ("address", "class", "vendor", "device")] for device in facts.get("pci", [])),
        key=lambda device: [order(value) for value in device],
    )
    text = json.dumps(stable, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16].hex()


def disk(disk):
    names = ("serial", "by_path", "model")
    return {
        **{name: disk.get(name) for name in names},
        "bytes": 0 if disk["removable"] else disk["bytes"],
        "sector_bytes": [disk["logical_sector_bytes"], disk["physical_sector_bytes"]],
        "rotational": disk["rotational"],
    }


def order(value):
    """Null before any text, texts by their bytes."""
    if value is None or isinstance(value, str):
        return (value is not None, (value or "").encode())
    return value
