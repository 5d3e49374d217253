"""Signed tokens: what verifies them, and what the command line does with them."""

import time
from pathlib import Path

from openhands_sessions.adapters.auths.revocations import FILE, revoke_token, revoke_tokens_of
from openhands_sessions.adapters.auths.token_claims import TokenRules, write_token
from openhands_sessions.adapters.auths.token_keys import TokenKey, read_jwks, secret_key
from openhands_sessions.adapters.auths.tokens import SignedTokens
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import BadInput, StorageUnavailable
from openhands_sessions.core.ids import owner_id
from openhands_sessions.ports.access import Credentials, Principal, Role


def signed_tokens(config: Config) -> SignedTokens:
    """Raises BadInput where no key is configured, and for keys that cannot be used."""
    secret = _secret(config)
    if secret is None and config.auth.jwks is None:
        raise BadInput("auth.secret", "is not set, and neither is auth.jwks: tokens are verified by one of the two")
    tokens = SignedTokens(_rules(config), _revoked(config), secret=secret, jwks=config.auth.jwks)
    if not tokens.has_keys:
        raise BadInput("auth.jwks", f"names {config.auth.jwks}, which holds no key that tokens are verified by")
    return tokens


def mint(config: Config, user: str, role: Role, seconds: float) -> tuple[str, str]:
    """A new token and its id: signed by the first key of auth.jwks that can, else by auth.secret. Raises BadInput."""
    owner, secret = owner_id(user), _secret(config)
    keys = [] if config.auth.jwks is None else list(read_jwks(config.auth.jwks).values())
    able = [key for key in (*keys, secret) if key is not None and key.signs is not None]
    if not able:
        told = "is not set" if not keys else "is not set, and auth.jwks holds no private key"
        raise BadInput("auth.secret", f"{told}: without a key that signs, no token can be made here")
    return write_token(able[0], owner, role, _rules(config), now=time.time(), seconds=seconds)


async def verify(config: Config, token: str) -> Principal:
    """Whom a token stands for. Raises Unauthorized, BadInput."""
    return await signed_tokens(config).identify(Credentials(key=token))


def revoke(config: Config, token_id: str | None, user: str | None) -> Path:
    """A token by its id, or all that a user has by now; the file that says so. Raises BadInput, StorageUnavailable."""
    try:
        if token_id is not None:
            revoke_token(_revoked(config), token_id)
        if user is not None:
            revoke_tokens_of(_revoked(config), owner_id(user), time.time() + config.auth.leeway)
    except OSError as error:
        raise StorageUnavailable(f"{_revoked(config)} cannot be written: {error.strerror}") from error
    return _revoked(config)


def _rules(config: Config) -> TokenRules:
    auth = config.auth
    return TokenRules(issuer=auth.issuer, audience=auth.audience, leeway=auth.leeway)


def _secret(config: Config) -> TokenKey | None:
    secret = config.auth.secret
    return None if secret is None else secret_key(secret.get_secret_value())


def _revoked(config: Config) -> Path:
    return config.data_dir / FILE
