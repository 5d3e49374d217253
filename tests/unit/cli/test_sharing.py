"""`sessions share`: what it prints, and what it says of wrong calls."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.cli.sessions import ConversationsTarget
from openhands_sessions.cli.sharing import ShareOptions, share
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import BadInput, NotFound
from tests.support.store_entries import TALK, row


@pytest.fixture
def target(tmp_path: Path) -> ConversationsTarget:
    """A data folder with one conversation."""

    async def fill() -> None:
        async with open_sqlite(tmp_path / "sessions.db") as store:
            await store.conversations.create(row(TALK))

    asyncio.run(fill())
    return ConversationsTarget({"--data-dir": tmp_path}, None, None)


def test_a_link_is_made_listed_and_revoked(target: ConversationsTarget, capsys: pytest.CaptureFixture[str]) -> None:
    assert share(target, TALK, ShareOptions(), as_json=False) == 0
    assert capsys.readouterr().out == "shared with nobody\n"
    share(target, TALK, ShareOptions(link=True, write=True, hours=2.0), as_json=False)
    made = capsys.readouterr()
    assert re.fullmatch(r"ohs-link\.[\w.-]+\n", made.out)
    told = re.fullmatch(r"link (\w+): write, until \S+; it is shown this once\n", made.err)
    assert told is not None, made.err
    share(target, TALK, ShareOptions(), as_json=True)
    listed = capsys.readouterr().out
    [found] = json.loads(listed)
    assert (found["kind"], found["name"], found["permission"]) == ("link", told[1], "write")
    assert "token" not in found
    assert made.out.strip() not in listed
    share(target, TALK, ShareOptions(revoke_link=told[1]), as_json=False)
    assert capsys.readouterr().out == "shared with nobody\n"


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        (ShareOptions(user="bob", link=True), ConfigError, "one of --user, --link, --revoke and --revoke-link"),
        (ShareOptions(revoke="bob", revoke_link="feed"), ConfigError, "one of --user"),
        (ShareOptions(write=True), ConfigError, "belongs to --user or --link"),
        (ShareOptions(user="bob", hours=2.0), ConfigError, "belongs to --link"),
        (ShareOptions(link=True, hours=0.0), BadInput, "hours must be"),
        (ShareOptions(link=True, hours=float("nan")), BadInput, "hours must be"),
        (ShareOptions(user="bob"), BadInput, "make a link"),
        (ShareOptions(user=" "), BadInput, "user must be"),
        (ShareOptions(revoke="bob"), NotFound, "user 'bob' not found"),
        (ShareOptions(revoke_link="feed"), NotFound, "link 'feed' not found"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    target: ConversationsTarget, asked: ShareOptions, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=re.escape(told)):
        share(target, TALK, asked, as_json=False)
