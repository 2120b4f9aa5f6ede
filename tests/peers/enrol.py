"""How an agent gets its certificate: the section "Enrolment" of docs/PROTOCOL.md."""

import hashlib
import hmac
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import wire


def request_for(key):
    """A certificate request: only the key in it counts."""
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())


def spki_of(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def commitment(nonce, spki):
    return hashlib.sha256(b"enforcer-pairing/1" + nonce + spki).hexdigest()


def pairing_code(spki, ca_sha256, ours, theirs):
    hashed = hashlib.sha256(b"enforcer-code/1" + len(spki).to_bytes(8, "big") + spki + ca_sha256 + ours + theirs)
    digits = f"{int.from_bytes(hashed.digest()[:8], 'big') % 10**8:08}"
    return f"{digits[:4]}-{digits[4:]}"


class Token:
    """By a join token, which names the CA that may see it."""

    key = "installed"

    def __init__(self, token):
        self.token, self.ca = token, bytes.fromhex(token.split("-")[3])

    def shown(self, _connection, _csr):
        return {"by": "token", "token": self.token}


class Person:
    """By a person who compares the codes, whatever CA is shown."""

    key, ca = "installed", b""

    def shown(self, _connection, _csr):
        return {"by": "none"}


class Boot:
    """By the secret of this boot's script, which is not sent."""

    key = "boot"

    def __init__(self, mac, secret, ca):
        self.mac, self.secret, self.ca = mac, secret, bytes.fromhex(ca)

    def shown(self, connection, csr):
        exporter = connection.export(b"EXPORTER-enforcer-enrol")
        request = hashlib.sha256(csr.public_bytes(Encoding.DER)).digest()
        proof = hmac.digest(self.secret.encode(), b"enforcer-boot/1" + exporter + request, "sha256")
        return {"by": "boot", "mac": self.mac, "hmac": proof.hex()}


def authority(chain, named):
    """The CA that is shown, if it is the one that was named."""
    if not wire.sha256(chain[-1]).startswith(named):
        raise wire.Distrusted("it shows another CA")
    return chain[-1]


async def enrol(address, about, proof, now, tell):
    """A new key and the controller's `issued`. `about` holds boot_id, agent and facts; `tell` hears the code and of waiting."""
    key, nonce = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
    async with wire.dial(address, wire.ENROL) as connection:
        chain = connection.chain()
        ca = authority(chain, proof.ca)
        wire.believe(chain[0], ca, now)
        reader, writer = await connection.create_stream()

        async def step(**message):
            writer.write(wire.frame(message))
            return await wire.hear(connection, reader, wire.SMALL_FRAME)

        csr = request_for(key)
        challenge = await step(
            kind="enrol",
            key=proof.key,
            csr=csr.public_bytes(Encoding.PEM).decode(),
            commit=commitment(nonce, spki_of(key)),
            proof=proof.shown(connection, csr),
            **about,
        )
        theirs = bytes.fromhex(challenge["nonce"])
        tell({"code": pairing_code(spki_of(key), wire.sha256(ca), nonce, theirs)})
        answer = await step(kind="reveal", nonce=nonce.hex())
        while answer["kind"] == "pending":
            tell({"pending": answer["text"]})
            answer = await wire.hear(connection, reader, wire.SMALL_FRAME)
        return key, ours(answer, key, ca)


def ours(issued, key, ca):
    """The certificate, if it is for our key, of the CA that was shown, and says what the answer says."""
    leaf = x509.load_pem_x509_certificate(issued["certificate"].encode())
    kept = x509.load_pem_x509_certificate(issued["ca"].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    leaf.verify_directly_issued_by(ca)
    if kept != ca or leaf.public_key() != key.public_key() or uris != [f"spiffe://{issued['site']}/agent/{issued['machine']}"]:
        raise wire.Distrusted("what was issued is not what was asked for")
    return issued
