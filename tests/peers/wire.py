"""QUIC, frames, and whom to believe: the sections "Transport" and "Frames and messages" of docs/PROTOCOL.md."""

import asyncio
import datetime
import hashlib
import json
import re
import ssl
from contextlib import asynccontextmanager

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import Direction, Epoch, hkdf_expand_label
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

ENROL, LINK = "enforcer-enrol/1", "enforcer/1"
VERSION = 1
SMALL_FRAME, FRAME = 64 << 10, 1 << 20
SIGN_OF_LIFE_S, SILENCE_S = 2, 8.25
DONE = 0


class Distrusted(Exception):
    """The other side is not the controller it should be; nothing was sent to it."""


class Refused(Exception):
    """The other side said no: code and text."""


class Ended(Exception):
    """The other side ended the connection: code and reason."""


class Broken(Exception):
    """The other side does not speak the protocol."""


class Connection(QuicConnectionProtocol):
    """Keeps why it ended, `(code, reason)`, and what keys can be exported of."""

    ended = exporter_secret = None

    def quic_event_received(self, event):
        if isinstance(event, events.ConnectionTerminated):
            self.ended = (event.error_code, event.reason_phrase)
        if isinstance(event, events.StreamReset) and event.stream_id in self._stream_readers:
            self._stream_readers[event.stream_id].feed_eof()
        super().quic_event_received(event)

    def chain(self):
        """What the controller showed: its leaf, then its CA."""
        tls = self._quic.tls
        return [tls._peer_certificate, *tls._peer_certificate_chain]

    def keep_exporter(self):
        """The library exports no keys. Their secret is of the moment when the controller's Finished has come (RFC 8446 §7.1), which
        is when the library makes the first key of the application."""
        tls = self._quic.tls
        inner = tls.update_traffic_key_cb

        def made(direction, epoch, *key):
            if (direction, epoch) == (Direction.DECRYPT, Epoch.ONE_RTT):
                self.exporter_secret = tls.key_schedule.derive_secret(b"exp master")
            inner(direction, epoch, *key)

        tls.update_traffic_key_cb = made

    def export(self, label, length=32):
        """Bytes that both ends of this very session know (RFC 8446 §7.5), of an empty context."""
        keys = self._quic.tls.key_schedule
        size, empty = keys.algorithm.digest_size, keys.hash_empty_value
        secret = hkdf_expand_label(keys.algorithm, self.exporter_secret, label, empty, size)
        return hkdf_expand_label(keys.algorithm, secret, b"exporter", empty, length)

    async def stay(self):
        """Asks for a sign of life again and again."""
        while self.ended is None:
            await asyncio.sleep(SIGN_OF_LIFE_S)
            await self.ping()


@asynccontextmanager
async def dial(address, alpn, server_name=None, identity=None, on_stream=None):
    """A connection; `identity` is our certificate and its key. The caller decides whether it believes `chain()`."""
    host, port = address.rsplit(":", 1)
    setup = QuicConfiguration(
        alpn_protocols=[alpn],
        idle_timeout=SILENCE_S,
        server_name=server_name,
        # Our own rules (`believe`) take the place of the library's: certificates of the future are good here.
        verify_mode=ssl.CERT_NONE,
    )
    if identity:
        setup.certificate, setup.private_key = identity
    async with connect(
        host.strip("[]"),
        int(port),
        configuration=setup,
        create_protocol=Connection,
        stream_handler=on_stream,
        wait_connected=False,
    ) as connection:
        connection.keep_exporter()
        connection.transmit()
        try:
            await connection.wait_connected()
        except ConnectionError as error:
            raise Ended(*connection.ended) from error
        yield connection


def believe(leaf, ca, now, site=None):
    """Refuses a controller's certificate that breaks one of the rules."""
    try:
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except Exception as error:
        raise Distrusted(f"not issued by the CA: {error!r}") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    read = re.fullmatch(r"spiffe://([a-z0-9-]+)/controller/[0-9a-f]{16}", uris[0]) if len(uris) == 1 else None
    if not read or (site and read[1] != site):
        raise Distrusted(f"not a controller of this site: {uris}")
    if f"controller.{read[1]}.enforcer" not in names.get_values_for_type(x509.DNSName):
        raise Distrusted("another name")
    if ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise Distrusted("not a server's certificate")
    if leaf.not_valid_after_utc + datetime.timedelta(days=1) < now:
        raise Distrusted("ended more than a day ago")


def sha256(certificate):
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def frame(message):
    body = json.dumps({"v": VERSION, **message}).encode()
    return len(body).to_bytes(4, "big") + body


async def read(reader, limit=FRAME):
    """The next message, whatever it says."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > limit:
        raise Broken(f"a frame of {length} bytes")
    message = json.loads(await reader.readexactly(length))
    if message.get("v") != VERSION:
        raise Broken(f"version {message.get('v')}")
    return message


async def hear(connection, reader, limit=FRAME):
    """The next message, which has to be a yes. A connection that ended says more than the stream that broke by it."""
    try:
        answer = await read(reader, limit)
    except asyncio.IncompleteReadError as error:
        raise (Ended(*connection.ended) if connection.ended else Broken("the stream ended early")) from error
    if answer["kind"] == "refused":
        raise Refused(answer["code"], answer["text"])
    return answer


async def ask(connection, message, limit=FRAME):
    """One request: a stream of its own, the end of our direction, the answer."""
    reader, writer = await connection.create_stream()
    writer.write(frame(message))
    writer.write_eof()
    return await hear(connection, reader, limit)


def told(error):
    """A no as it is printed."""
    return {type(error).__name__.lower(): error.args}


NO = (Distrusted, Refused, Ended, Broken)
