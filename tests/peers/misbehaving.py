#!/usr/bin/env python3
"""Agents that break docs/PROTOCOL.md, each in one way: the folder of an agent that enrolled, the controller's address, and deeds.
It prints what the controller made of each, a JSON object a line."""

import asyncio
import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

import wire
from agent import Agent, State, tell

BOOT = "0b4f3f9e-1111-4222-8333-9444444444ee"
ENOUGH_S = 10


class Deeds:
    """A method a deed; it raises what it came to."""

    def __init__(self, folder, address):
        self.state, self.address = State(pathlib.Path(folder)), address

    async def speaks_another_version(self):
        async with self.state.dial(self.address) as connection:
            await self.first_bytes(connection, framed(b'{"v":2,"kind":"hello"}'))

    async def sends_a_long_frame_before_its_hello(self):
        async with self.state.dial(self.address) as connection:
            await self.first_bytes(connection, (wire.SMALL_FRAME + 1).to_bytes(4, "big"))

    async def speaks_no_json(self):
        async with self.state.dial(self.address) as connection:
            await self.first_bytes(connection, framed(b"HELO mail.example.org"))

    async def enrols_in_another_version(self):
        async with wire.dial(self.address, wire.ENROL) as connection:
            await self.first_bytes(connection, framed(b'{"v":2,"kind":"enrol"}'))

    async def enrols_with_a_long_frame(self):
        async with wire.dial(self.address, wire.ENROL) as connection:
            await self.first_bytes(connection, (wire.SMALL_FRAME + 1).to_bytes(4, "big"))

    async def begins_without_a_hello(self):
        async with self.state.dial(self.address) as connection:
            await wire.ask(connection, {"kind": "job"})

    async def shows_no_certificate(self):
        async with wire.dial(self.address, wire.LINK) as connection:
            await self.ends(connection)

    async def speaks_another_protocol(self):
        async with wire.dial(self.address, "h3") as connection:
            await self.ends(connection)

    async def shows_a_forged_certificate(self):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = forged(self.state.issued, key)
        name = f"controller.{self.state.issued['site']}.enforcer"
        async with wire.dial(self.address, wire.LINK, name, (leaf, key)) as connection:
            await self.ends(connection)

    async def shows_anothers_certificate(self):
        """It has the certificate, which is no secret, and not the key."""
        self.state.key = ec.generate_private_key(ec.SECP256R1())
        async with self.state.dial(self.address) as connection:
            await self.ends(connection)

    async def errs_on_a_link(self):
        """What a link that stands survives: each is refused, and a request that is right is answered."""
        async with self.state.dial(self.address) as connection:
            hello = Agent(self.state, BOOT, FACTS, "installed-os").hello()
            await wire.ask(connection, hello, wire.SMALL_FRAME)
            refusals = [
                await self.refused(connection, wrong)
                for wrong in (
                    (wire.FRAME + 1).to_bytes(4, "big"),
                    framed(b'{"v":2,"kind":"status","stage":"x"}'),
                    framed(b'{"v":1,"kind":"of-a-later-release"}'),
                    framed(b'{"v":1,"kind":"status","stage":"cut'),
                    framed(b'{"v":1,"kind":"status","stage":"x"}')[:-1],
                    wire.frame(hello),
                )
            ]
            raise Survived(refusals, await wire.ask(connection, {"kind": "status", "stage": "well", "error": None}))

    async def refused(self, connection, data):
        """The refusal: code and text."""
        reader, writer = await connection.create_stream()
        writer.write(data)
        writer.write_eof()
        try:
            return await wire.hear(connection, reader)
        except wire.Refused as refused:
            return refused.args

    async def first_bytes(self, connection, data):
        """The rest would follow, if anybody wanted it."""
        _, writer = await connection.create_stream()
        writer.write(data)
        await self.ends(connection)

    async def ends(self, connection):
        """The controller has to end it: nothing else is waited for."""
        async with asyncio.timeout(ENOUGH_S):
            await connection.wait_closed()
        raise wire.Ended(*connection.ended)


class Survived(Exception):
    """The link goes on: what wrong requests came to, and then a right one."""


FACTS = {
    "v": 1,
    "arch": "x86_64",
    "firmware": "bios",
    "smbios": {},
    "cpu": {"sockets": 1, "cores": 1, "threads": 1},
    "memory": {"bytes": 1, "usable_bytes": 1},
    "nics": [],
    "disks": [],
}


def framed(body):
    return len(body).to_bytes(4, "big") + body


def forged(issued, key):
    """The agent's certificate as it would be, had a CA of the same name signed it."""
    ours, theirs = (x509.load_pem_x509_certificate(issued[name].encode()) for name in ("certificate", "ca"))
    now = datetime.datetime.now(datetime.timezone.utc)
    name = ours.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    leaf = (
        x509.CertificateBuilder()
        .subject_name(ours.subject)
        .issuer_name(theirs.subject)
        .public_key(key.public_key())
        .serial_number(ours.serial_number)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(name, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return leaf.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


async def main(folder, address, *deeds):
    for deed in deeds:
        try:
            await getattr(Deeds(folder, address), deed)()
            tell({"deed": deed, "nothing": []})
        except (*wire.NO, Survived) as error:
            tell({"deed": deed, **wire.told(error)})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
