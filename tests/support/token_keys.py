"""Keys of tokens, as a JWKS file has them, and tokens that are signed with them."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of thirty-two characters"
"""As `auth.secret`."""


def ed25519_key(kid: str, *, private: bool = True) -> dict[str, Any]:
    key = Ed25519PrivateKey.generate()
    return _named(OKPAlgorithm.to_jwk(key if private else key.public_key(), as_dict=True), kid)


def rsa_key(kid: str, *, bits: int = 2_048) -> dict[str, Any]:
    return _named(RSAAlgorithm.to_jwk(generate_private_key(65_537, bits), as_dict=True), kid)


def secret_key(kid: str, secret: str = SECRET) -> dict[str, Any]:
    return _named(HMACAlgorithm.to_jwk(secret, as_dict=True), kid)


def public(key: dict[str, Any]) -> dict[str, Any]:
    """Its public half."""
    return {name: value for name, value in key.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "key_ops")}


def write_jwks(path: Path, *keys: dict[str, Any]) -> Path:
    """Put keys into a file, whole or not at all."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps({"keys": keys}))
    return unfinished.replace(path)


def signed(key: dict[str, Any], *, algorithm: str | None = None, headers: Any = None, **claims: Any) -> str:
    """A token of the user ada for an hour, but for what is given; a claim that is None is left out."""
    signing = jwt.PyJWK(key)
    given = {"sub": "ada", "exp": time.time() + 3_600, **claims}
    chosen = {name: value for name, value in given.items() if value is not None}
    named = {"kid": key["kid"]} if headers is None else headers
    return jwt.encode(chosen, signing.key, algorithm=algorithm or signing.algorithm_name, headers=named)


def by_secret(secret: str = SECRET, **claims: Any) -> str:
    """The same, signed with `auth.secret`."""
    return signed(secret_key("", secret), headers={}, **claims)


def _named(key: Any, kid: str) -> dict[str, Any]:
    return {**key, "kid": kid}
