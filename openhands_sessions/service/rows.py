"""What a conversation's row says beside its own columns: what it was made with."""

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.repository import Repository
from openhands_sessions.ports.store import ConversationRow


def text_of(row: ConversationRow, name: str) -> str | None:
    value = row.settings.get(name)
    return value if isinstance(value, str) else None


def checkout_row(checkout: Repository | None) -> dict[str, Json]:
    """As `checkout_of` finds it, with what lists show under the names that they show it by."""
    if checkout is None:
        return {}
    told: dict[str, Json] = {"branch": checkout.branch, "git_provider": checkout.provider, "checkout": checkout.url}
    return {**told, "repository": checkout.name or None}


def checkout_of(row: ConversationRow) -> Repository | None:
    if "checkout" not in row.settings:
        return None
    url, name = text_of(row, "checkout"), text_of(row, "repository") or ""
    return Repository(name=name, url=url, branch=text_of(row, "branch"), provider=text_of(row, "git_provider"))
