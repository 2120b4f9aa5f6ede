#!/usr/bin/env python3
"""A second agent, written from docs/PROTOCOL.md alone: what it needs to know has to be in there. It enrols by a join token, or
waits for a person; keeps a link in leaf mode; tells its facts; obeys; and leaves when it was told to reboot or its standard input
ends. It prints what happens, a JSON object a line."""

import argparse
import asyncio
import datetime
import json
import os
import pathlib
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import wire
from enrol import Boot, Person, Token, enrol, request_for
from facts import digest, identity_part

AGENT = "python-0.1"


def tell(event):
    print(json.dumps(event), flush=True)


def no(code, text):
    return {"kind": "refused", "code": code, "text": text}


class State:
    """What outlives the process, in one folder: the key, what was issued for it, the last generation."""

    def __init__(self, folder):
        self.key_file, self.issued_file, self.generation_file = (folder / name for name in ("key.pem", "issued.json", "generation"))
        self.key = self.issued = None
        self.generation = 0
        if self.issued_file.exists():
            self.key = load_pem_private_key(self.key_file.read_bytes(), None)
            self.issued = json.loads(self.issued_file.read_text())
        if self.generation_file.exists():
            self.generation = int(self.generation_file.read_text())

    def keep(self, key, issued):
        self.key, self.issued = key, issued
        self.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.issued_file.write_text(json.dumps(issued))

    def keep_generation(self, generation):
        self.generation = generation
        self.generation_file.write_text(str(generation))

    def dial(self, address, on_stream=None):
        """A connection that shows our certificate."""
        leaf = x509.load_pem_x509_certificate(self.issued["certificate"].encode())
        name = f"controller.{self.issued['site']}.enforcer"
        return wire.dial(address, wire.LINK, name, (leaf, self.key), on_stream)

    def believe(self, connection, now):
        """Only our own site's controllers."""
        ca = x509.load_pem_x509_certificate(self.issued["ca"].encode())
        wire.believe(connection.chain()[0], ca, now, self.issued["site"])


class Agent:
    """One link: what it asks, what it is asked."""

    def __init__(self, state, boot_id, facts, habitat):
        self.state, self.boot_id, self.facts, self.habitat = state, boot_id, facts, habitat
        self.connection = None
        self.orders = set()
        self.leaves = asyncio.get_running_loop().create_future()

    def hello(self):
        return {
            "kind": "hello",
            "boot_id": self.boot_id,
            "agent": AGENT,
            "habitat": self.habitat,
            "gossip_port": None,
            "facts_digest": digest(self.facts),
            "last_generation": self.state.generation,
        }

    def report(self):
        return {"kind": "facts", "boot_id": self.boot_id, "facts": self.facts}

    def leave(self, why):
        if not self.leaves.done():
            self.leaves.set_result(why)

    async def run(self, address, now):
        """From the hello to the goodbye."""
        serving = set()

        def on_stream(reader, writer):
            task = asyncio.ensure_future(self.serve(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        async with self.state.dial(address, on_stream) as self.connection:
            self.state.believe(self.connection, now)
            welcome = await wire.ask(self.connection, self.hello(), wire.SMALL_FRAME)
            tell(welcome)
            self.state.keep_generation(welcome["generation"])
            staying = asyncio.ensure_future(self.connection.stay())
            ended = asyncio.ensure_future(self.connection.wait_closed())
            await asyncio.wait([self.leaves, ended], return_when=asyncio.FIRST_COMPLETED)
            staying.cancel()
            if ended.done():
                raise wire.Ended(*self.connection.ended)
            tell({"bye": await wire.ask(self.connection, {"kind": "bye", "reason": self.leaves.result()})})
            self.connection.close(wire.DONE, "bye")

    async def serve(self, reader, writer):
        """One request of the controller."""
        message = await wire.read(reader)
        tell({"asked": message})
        reply = await self.answer(message)
        writer.write(wire.frame(reply))
        writer.write_eof()
        if message["kind"] == "command" and message["command"]["do"] == "reboot" and reply["kind"] == "done":
            # A goodbye is answered after what was said before it: the controller has our `done` when we go.
            self.leave("restarting")

    async def answer(self, message):
        match message["kind"]:
            case "command":
                return self.refusal(message) or await self.obey(message["command"])
            case "facts":
                return self.report()
            case "jobs" | "verdicts" | "ring":
                return {"kind": "ok"}
            case other:
                return no("unsupported", f"no {other} here")

    def refusal(self, order):
        """An order is good once, and in this boot only; we obey at once, so none expires here."""
        if order["boot_id"] != self.boot_id:
            return no("wrong-boot", "meant for another boot of this machine")
        if order["id"] in self.orders:
            return no("replayed", "this order was received before")
        self.orders.add(order["id"])
        return None

    async def obey(self, command):
        match command["do"]:
            case "reboot":
                return {"kind": "done", "text": "restarting now"}
            case "inventory":
                await wire.ask(self.connection, self.report())
                return {"kind": "done", "text": "the facts are sent"}
            case "rotate-keys":
                return await self.rotate_keys()
            case other:
                return no("unsupported", f"this agent cannot {other}")

    async def rotate_keys(self):
        key = ec.generate_private_key(ec.SECP256R1())
        csr = request_for(key).public_bytes(Encoding.PEM).decode()
        renewed = await wire.ask(self.connection, {"kind": "renew", "csr": csr})
        self.state.keep(key, {**self.state.issued, "certificate": renewed["certificate"]})
        return {"kind": "done", "text": "a new key is certified"}


def arguments():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("state", type=pathlib.Path, help="folder of its own")
    words.add_argument("--controller", required=True, metavar="HOST:PORT")
    words.add_argument("--facts", type=pathlib.Path, required=True, help="what the machine is made of, as JSON")
    words.add_argument("--boot-id", required=True)
    words.add_argument("--token", help="a join token")
    boot = ("--boot", "the secret of this boot, its card's MAC and the CA's SHA-256; without this and a token a person compares codes")
    words.add_argument(boot[0], nargs=3, metavar=("SECRET", "MAC", "CA"), help=boot[1])
    words.add_argument("--now", type=int, help="Unix time to judge certificates by, instead of the clock's")
    return words.parse_args()


def proof(given):
    if given.boot:
        secret, mac, ca = given.boot
        return Boot(mac, secret, ca)
    return Token(given.token) if given.token else Person()


async def main():
    given = arguments()
    state, facts = State(given.state), json.loads(given.facts.read_text())
    now = datetime.datetime.fromtimestamp(given.now or time.time(), datetime.timezone.utc)
    if not state.issued:
        about = {"boot_id": given.boot_id, "agent": AGENT, "facts": identity_part(facts)}
        state.keep(*await enrol(given.controller, about, proof(given), now, tell))
        tell({"enrolled": state.issued["name"], "level": state.issued["level"]})
    agent = Agent(state, given.boot_id, facts, "management-os" if given.boot else "installed-os")
    loop = asyncio.get_running_loop()
    at_end(lambda: loop.call_soon_threadsafe(agent.leave, "the program ends"))
    await agent.run(given.controller, now)


def at_end(call):
    """Calls when the standard input has ended. A thread that nobody waits for: the program may end first."""

    def read():
        while os.read(0, 4096):
            pass
        call()

    threading.Thread(target=read, daemon=True).start()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except wire.NO as error:
        tell(wire.told(error))
        sys.exit(1)
