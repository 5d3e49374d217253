"""The keys that sign and verify tokens: a secret, and those of a JWKS file. A key has one algorithm, which its type
says, so that no token chooses how it is verified."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openhands_sessions.core.errors import BadInput

log = structlog.get_logger(__name__)

SETTING = "auth.jwks"
ALGORITHMS = {"oct": "HS256", "RSA": "RS256", "OKP": "EdDSA"}
"""By the `kty` of a key."""
SHORTEST_SECRET = 32
"""Bytes, as many as a signature of HS256 has."""
SHORTEST_RSA = 2_048
"""Bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenKey:
    """`signs` is None where the file has the public half only."""

    id: str
    algorithm: str
    verifies: Any = field(repr=False)
    signs: Any | None = field(repr=False)
    fingerprint: bytes = b""
    """Another one where the key is another one."""


Keys = Mapping[str, TokenKey]
"""By their ids; that of the secret is empty."""


def secret_key(secret: str) -> TokenKey:
    """The key that tokens without a `kid` are signed with. Raises BadInput."""
    key = secret.encode()
    if len(key) < SHORTEST_SECRET:
        raise BadInput("auth.secret", f"must have at least {SHORTEST_SECRET} bytes")
    return TokenKey(id="", algorithm="HS256", verifies=key, signs=key)


def read_jwks(path: Path) -> Keys:
    """The keys of a file; none where its list is empty. Those for encryption, and of kinds that sign no tokens here,
    are left out. Raises BadInput that says which of the others cannot be used."""
    try:
        listed = json.loads(path.read_bytes())["keys"]
    except OSError as error:
        raise BadInput(SETTING, f"names {path}, which cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise BadInput(SETTING, f'names {path}, which holds no keys: a JWKS file is {{"keys": [{{"kid": …}}, …]}}')
    found: dict[str, TokenKey] = {}
    for place, given in enumerate(listed):
        if _is_of_another_kind(given):
            log.info("a key of auth.jwks is not used", key=str(given.get("kid"))[:64], kind=str(given.get("kty"))[:64])
            continue
        key = _key(given, f"names {path}, whose key {place + 1}")
        if key.id in found:
            raise BadInput(SETTING, f"names {path}, which has two keys with the `kid` {key.id!r}")
        found[key.id] = key
    return found


def _is_of_another_kind(given: Any) -> bool:
    """Whether a provider publishes the key for something else."""
    if not isinstance(given, dict):
        return False
    algorithm = ALGORITHMS.get(str(given.get("kty")))
    return (
        given.get("use") == "enc"
        or algorithm is None
        or given.get("alg", algorithm) != algorithm
        or given.get("crv", "Ed25519") != "Ed25519"
    )


def _key(given: object, what: str) -> TokenKey:
    if not isinstance(given, dict) or not isinstance(kid := given.get("kid"), str) or not kid:
        raise BadInput(SETTING, f"{what} has no `kid`, by which tokens name it")
    what = f"{what}, {kid!r},"
    algorithm = ALGORITHMS[given["kty"]]
    try:
        key = jwt.PyJWK(given, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise BadInput(SETTING, f"{what} is damaged") from None
    short = isinstance(key, bytes) and len(key) < SHORTEST_SECRET
    if short or (algorithm == "RS256" and key.key_size < SHORTEST_RSA):
        least = f"{SHORTEST_SECRET} bytes" if short else f"{SHORTEST_RSA} bits"
        raise BadInput(SETTING, f"{what} is too short: it needs at least {least}")
    signs = key if isinstance(key, bytes) or hasattr(key, "sign") else None
    verifies = key.public_key() if hasattr(key, "public_key") else key
    fingerprint = hashlib.sha256(_public_bytes(verifies)).digest()
    return TokenKey(id=kid, algorithm=algorithm, verifies=verifies, signs=signs, fingerprint=fingerprint)


def _public_bytes(key: Any) -> bytes:
    """What tells a key from another one, without what a provider says beside it."""
    return key if isinstance(key, bytes) else bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
