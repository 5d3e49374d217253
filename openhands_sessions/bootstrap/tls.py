"""TLS with the certificate that the configuration names, which is replaced while the server runs."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from openhands_sessions.adapters.auths.watched_file import WatchedFile
from openhands_sessions.adapters.tls import CERTIFICATE, KEY, Identity, identity, load, read_pem
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import BadInput

log = structlog.get_logger(__name__)


class WatchedIdentity:
    """A context for new connections, which follows the files of certificate and key. What cannot be used leaves the one
    before, with a line in the log; so does one file of a pair until the other comes."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises BadInput."""
        self._certificate = WatchedFile(certificate, read_pem(CERTIFICATE), self._changed)
        self._key = WatchedFile(key, read_pem(KEY), self._changed)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load(self.context, identity(self._certificate.value, self._key.value))

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """While the files are looked at."""
        async with self._certificate.noticed(), self._key.noticed():
            yield

    def _changed(self) -> None:
        try:
            own = identity(self._certificate.value, self._key.value)
            load(self.context, own)
        except BadInput as error:
            log.error("the certificate is left as it was", problem=error.message)
        else:
            log.info("the certificate is replaced", expires=own.expires.isoformat())


def identity_of(config: Config) -> Identity | None:
    """What the files hold now; None where the server speaks plain HTTP. Raises BadInput."""
    files = _files(config)
    return None if files is None else identity(read_pem(CERTIFICATE)(files[0]), read_pem(KEY)(files[1]))


def watched_identity(config: Config) -> WatchedIdentity | None:
    """None where the server speaks plain HTTP. Raises BadInput."""
    files = _files(config)
    return None if files is None else WatchedIdentity(*files)


def _files(config: Config) -> tuple[Path, Path] | None:
    certificate, key = config.server.tls_certificate, config.server.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, other = (CERTIFICATE, KEY) if certificate is None else (KEY, CERTIFICATE)
        raise BadInput(missing, f"must be set too where {other} is")
    return certificate, key


@asynccontextmanager
async def open_tls(config: Config) -> AsyncIterator[ssl.SSLContext | None]:
    """The context for a server's connections; None for plain HTTP. Raises BadInput."""
    found = watched_identity(config)
    if found is None:
        yield None
        return
    async with found.followed():
        yield found.context
