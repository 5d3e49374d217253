"""What a token says: read from one whose signature is right, and written into a new one."""

import secrets
from dataclasses import dataclass
from typing import Any

import jwt

from openhands_sessions.adapters.auths.token_keys import Keys, TokenKey
from openhands_sessions.core.errors import BadInput, Unauthorized
from openhands_sessions.core.ids import OwnerId, owner_id
from openhands_sessions.ports.access import IssuedToken, Principal, Role

MOST_CHARACTERS = 4_000
"""Of a token: browsers keep no longer cookies."""
EXPIRED = "has expired: ask for a new one"
PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, EXPIRED),
    (jwt.ImmatureSignatureError, "is not valid yet"),
    (jwt.InvalidIssuerError, "was not issued by auth.issuer"),
    (jwt.InvalidAudienceError, "is not for this server: its `aud` must be auth.audience, and none where that is unset"),
    (jwt.InvalidAlgorithmError, "is signed by another algorithm than its key is for"),
    (jwt.InvalidSignatureError, "has a wrong signature"),
)
"""The first row that fits counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRules:
    """What tokens must say, where these are set. `leeway`: seconds by which clocks may differ."""

    issuer: str | None = None
    audience: str | None = None
    leeway: float = 0.0


def read_token(text: str, keys: Keys, rules: TokenRules) -> Principal:
    """Whom a token stands for. Raises Unauthorized that says what is wrong with it."""
    if len(text) > MOST_CHARACTERS:
        raise refused(f"is longer than {MOST_CHARACTERS} characters")
    try:
        key = _key_of(text, keys)
        claims = jwt.decode(
            text,
            key.verifies,
            algorithms=[key.algorithm],
            issuer=rules.issuer,
            audience=rules.audience,
            leeway=rules.leeway,
            options={"require": ["exp", "sub"]},
        )
        return _principal(text, key, claims, rules)
    except jwt.MissingRequiredClaimError as error:
        raise refused(f"lacks the claim `{error.claim}`") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        told = next((told for kind, told in PROBLEMS if isinstance(error, kind)), "is no signed token (a JWT)")
        raise refused(told) from None


def _key_of(text: str, keys: Keys) -> TokenKey:
    kid = jwt.get_unverified_header(text).get("kid", "")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        if kid:
            raise refused("names a key that this server does not have (its `kid`): it was removed, or never added")
        raise refused("names no key (it has no `kid`)")
    return key


def _principal(text: str, key: TokenKey, claims: dict[str, Any], rules: TokenRules) -> Principal:
    try:
        owner = owner_id(claims["sub"])
    except BadInput as error:
        raise refused(f"names no user: its `sub` {error.message.removeprefix(error.field).strip()}") from None
    try:
        role = Role(claims.get("role", Role.USER))
    except ValueError:
        raise refused(f"has a `role` that is not one of {', '.join(Role)}") from None
    issued = claims.get("iat")
    token = IssuedToken(
        text=text,
        id=str(claims.get("jti", "")),
        key=key.id,
        issued=None if issued is None else float(issued),
        expires=float(claims["exp"]) + rules.leeway,
    )
    return Principal(owner=owner, role=role, token=token)


def write_token(
    key: TokenKey, owner: OwnerId, role: Role, rules: TokenRules, *, now: float, seconds: float
) -> tuple[str, str]:
    """A new token, and its id. `now` is the time of day, in seconds; from then on it counts for `seconds`. Raises
    BadInput for a key that cannot sign."""
    if key.signs is None:
        raise BadInput("auth.jwks", f"has the public half of key {key.id!r} only")
    made = secrets.token_hex(12)  # never begins like an option of the command line
    claims: dict[str, Any] = {
        "sub": owner,
        "role": role.value,
        # With its fraction, so that a token that is made just after others were revoked is not one of them.
        "iat": round(now, 3),
        "exp": int(now + seconds),
        "jti": made,
    }
    claims |= {name: value for name, value in (("iss", rules.issuer), ("aud", rules.audience)) if value is not None}
    headers = {"kid": key.id} if key.id else None
    return jwt.encode(claims, key.signs, algorithm=key.algorithm, headers=headers), made


def refused(problem: str) -> Unauthorized:
    return Unauthorized(f"the token {problem}")
