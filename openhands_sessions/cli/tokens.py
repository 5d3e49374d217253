"""`tokens`: signed tokens of users, made, looked at and revoked."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from openhands_sessions.bootstrap import tokens as bootstrap
from openhands_sessions.cli.output import clean, counted, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.core.errors import BadInput
from openhands_sessions.ports.access import Principal, Role

MOST_HOURS = 24 * 366.0


def mint(
    flags: Mapping[str, object], file: Path | None, user: str, role: str, *, hours: float, as_json: bool = False
) -> int:
    """Print a new token. Raises ConfigError, BadInput."""
    config = loaded(flags, file, quiet=True).config
    if not 0 < hours <= MOST_HOURS:
        raise BadInput("--hours", f"must be above 0, and at most {MOST_HOURS:.0f}")
    token, made = bootstrap.mint(config, user, _role(role), hours * 3_600)
    if as_json:
        print_json({"token": token, "id": made, "user": user, "role": role, "hours": hours})
    else:
        print(token)
        print(f"id {made}, for `tokens revoke --id`; it lasts {counted(hours, 'hour')}", file=sys.stderr)
    return 0


def verify(flags: Mapping[str, object], file: Path | None, token: str | None, *, as_json: bool = False) -> int:
    """Print whose a token is. Raises ConfigError, BadInput, and Unauthorized that says what is wrong with it."""
    config = loaded(flags, file, quiet=True).config
    text = (sys.stdin.read() if token is None else token).strip()
    found = _told(asyncio.run(bootstrap.verify(config, text)))
    if as_json:
        print_json(found)
    else:
        print("\n".join(f"{name:8} {clean(value)}" for name, value in found.items()))
    return 0


def revoke(flags: Mapping[str, object], file: Path | None, *, token_id: str | None, user: str | None) -> int:
    """Have one token, or all of a user, count no more. Raises ConfigError, BadInput, StorageUnavailable."""
    config = loaded(flags, file, quiet=True).config
    if (token_id is None) == (user is None):
        raise BadInput("tokens revoke", "needs one of --id and --user")
    if token_id is not None and not token_id.strip():
        raise BadInput("--id", "must not be empty")
    file_of_revoked = bootstrap.revoke(config, token_id, user)
    which = f"the token {token_id}" if user is None else f"all tokens that were issued to {user} until now"
    print(f"revoked {clean(which)}, for the server that reads {file_of_revoked}")
    return 0


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise BadInput("--role", f"must be one of {', '.join(Role)}, not {text[:64]!r}") from None


def _told(principal: Principal) -> dict[str, str]:
    token = principal.token
    assert token is not None
    expires = datetime.fromtimestamp(token.expires, UTC).isoformat(timespec="seconds")
    return {
        "user": principal.owner,
        "role": principal.role,
        "expires": expires,
        "id": token.id,
        "key": token.key or "auth.secret",
    }
