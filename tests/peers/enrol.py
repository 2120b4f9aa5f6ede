"""How an agent gets its certificate: the section "Enrolment" of docs/PROTOCOL.md."""

import hashlib
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


def authority(chain, token):
    """The CA to believe: the one the token names, or without a token the one that is shown."""
    named = bytes.fromhex(token.split("-")[3]) if token else b""
    for certificate in chain[1:]:
        if wire.sha256(certificate).startswith(named):
            return certificate
    raise wire.Distrusted("it does not show the CA of the token")


async def enrol(address, about, token=None, tell=lambda _: None):
    """A new key and the controller's `issued`. `about` holds boot_id, agent and facts; `tell` hears the code and of waiting."""
    key, nonce = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
    async with wire.dial(address, wire.ENROL) as connection:
        chain = connection.chain()
        ca = authority(chain, token)
        wire.believe(chain[0], ca)
        reader, writer = await connection.create_stream()

        async def step(**message):
            writer.write(wire.frame(message))
            return await wire.hear(connection, reader, wire.SMALL_FRAME)

        challenge = await step(
            kind="enrol",
            key="installed",
            csr=request_for(key).public_bytes(Encoding.PEM).decode(),
            commit=commitment(nonce, spki_of(key)),
            proof={"by": "token", "token": token} if token else {"by": "none"},
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
