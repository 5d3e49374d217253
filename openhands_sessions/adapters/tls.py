"""A server's certificate and key: what is wrong with them, and how they are loaded."""

import os
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from openhands_sessions.core.errors import BadInput

CERTIFICATE, KEY = "server.tls_certificate", "server.tls_key"
BIGGEST = 1 << 20
_MOMENT = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, with the authorities above it, and its key: both in PEM, checked by `identity`."""

    certificate: bytes
    key: bytes = field(repr=False)
    expires: datetime


def read_pem(name: str) -> Callable[[Path], bytes]:
    """What reads a file of the setting `name`; it raises BadInput."""

    def read(path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(BIGGEST + 1)
        except OSError as error:
            raise BadInput(name, f"names {path}, which cannot be read: {error.strerror}") from None
        if b"-----BEGIN" not in content or len(content) > BIGGEST:
            raise BadInput(name, f"names {path}, which is no PEM file")
        return content

    return read


def identity(certificate: bytes, key: bytes, now: datetime | None = None) -> Identity:
    """Raises BadInput for what no client would accept, and says why."""
    moment = now or datetime.now(UTC)
    try:
        found = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        raise BadInput(CERTIFICATE, "holds no certificate that can be read") from None
    if found.not_valid_after_utc < moment:
        raise BadInput(CERTIFICATE, f"has expired at {found.not_valid_after_utc:{_MOMENT}}: renew it")
    if found.not_valid_before_utc > moment:
        raise BadInput(
            CERTIFICATE, f"counts only from {found.not_valid_before_utc:{_MOMENT}}: check this machine's clock"
        )
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        raise BadInput(
            KEY, "is encrypted: remove its passphrase, and keep the file for the server's user alone"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput(KEY, "holds no private key that can be read") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != found.public_key().public_bytes(*form):
        raise BadInput(KEY, f"does not belong to the certificate of {CERTIFICATE}")
    made = Identity(certificate, key, found.not_valid_after_utc)
    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), made)
    return made


def load(context: ssl.SSLContext, own: Identity) -> None:
    """Have new connections show it; those that are open stay as they are. The files are not read again: they may be
    others by now. Raises BadInput where the library refuses it."""
    with closing(os.fdopen(os.memfd_create("identity", os.MFD_CLOEXEC), "wb")) as file:
        file.write(own.key.rstrip() + b"\n" + own.certificate)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except ssl.SSLError as error:
            raise BadInput(CERTIFICATE, f"cannot be used: {error.reason or error}") from None
