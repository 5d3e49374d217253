"""A user's secrets: added, renamed, deleted, and never handed out but to a sandbox."""

import asyncio

import pytest

from openhands_sessions.core.custom_secrets import SECRETS_TOTAL
from openhands_sessions.core.errors import AlreadyExists, BadInput, NotFound, TooLarge
from openhands_sessions.core.ids import LOCAL_OWNER, OwnerId
from openhands_sessions.core.settings import environment
from openhands_sessions.service.secrets import SecretsStore
from openhands_sessions.service.settings import SettingsStore
from tests.fakes.files import MemoryFiles


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


async def told(owner: OwnerId) -> None:
    """No session is live here."""


@pytest.fixture
def book(files: MemoryFiles) -> SecretsStore:
    return SecretsStore(files, told)


async def test_a_secret_reaches_the_environment_of_its_owners_conversations(
    book: SecretsStore, files: MemoryFiles
) -> None:
    await book.add(LOCAL_OWNER, "TOKEN", "hunter2-hunter2", "what for")
    settings = SettingsStore(files, ())
    assert environment(await settings.merged(LOCAL_OWNER, {})) == {"TOKEN": "hunter2-hunter2"}
    assert environment(await settings.merged(OwnerId("other"), {})) == {}
    assert await book.names(LOCAL_OWNER) == [("TOKEN", "what for")]
    assert await book.names(OwnerId("other")) == []


async def test_a_renamed_secret_keeps_its_value_and_its_place(book: SecretsStore, files: MemoryFiles) -> None:
    for name in ("A", "B", "C"):
        await book.add(LOCAL_OWNER, name, f"value of {name}", "")
    await book.rename(LOCAL_OWNER, "B", "D", "new")
    await book.rename(LOCAL_OWNER, "C", "C", None)
    assert await book.names(LOCAL_OWNER) == [("A", ""), ("D", "new"), ("C", "")]
    assert environment(await SettingsStore(files, ()).merged(LOCAL_OWNER, {}))["D"] == "value of B"


async def test_what_is_not_there_or_is_there_already_is_told(book: SecretsStore) -> None:
    await book.add(LOCAL_OWNER, "A", "some value", "")
    await book.add(LOCAL_OWNER, "B", "some value", "")
    with pytest.raises(AlreadyExists):
        await book.add(LOCAL_OWNER, "A", "other value", "")
    with pytest.raises(AlreadyExists):
        await book.rename(LOCAL_OWNER, "A", "B", "")
    with pytest.raises(NotFound):
        await book.rename(LOCAL_OWNER, "Z", "Y", "")
    await book.delete(LOCAL_OWNER, "A")
    with pytest.raises(NotFound):
        await book.delete(LOCAL_OWNER, "A")


@pytest.mark.parametrize(
    ("name", "value", "description"),
    [
        ("PATH", "v", ""),
        ("a b", "v", ""),
        ("A", "", ""),
        ("A", "a\0b", ""),
        ("A", "\ud800", ""),
        ("A", "v", "d" * 1001),
    ],
)
async def test_a_refused_secret_leaves_nothing(book: SecretsStore, name: str, value: str, description: str) -> None:
    with pytest.raises(BadInput):
        await book.add(LOCAL_OWNER, name, value, description)
    assert await book.names(LOCAL_OWNER) == []


async def test_together_they_are_no_larger_than_an_environment(book: SecretsStore) -> None:
    await book.add(LOCAL_OWNER, "A", "x" * 16_000, "")
    with pytest.raises(TooLarge):
        await book.add(LOCAL_OWNER, "B", "x" * (SECRETS_TOTAL - 16_000), "")
    assert [name for name, _ in await book.names(LOCAL_OWNER)] == ["A"]


async def test_secrets_that_come_at_once_are_all_kept(book: SecretsStore) -> None:
    await asyncio.gather(*(book.add(LOCAL_OWNER, f"N{place}", "some value", "") for place in range(20)))
    assert len(await book.names(LOCAL_OWNER)) == 20


async def test_a_token_is_kept_where_none_is_sent_again(book: SecretsStore, files: MemoryFiles) -> None:
    await book.add_tokens(
        LOCAL_OWNER, {"github": {"token": "ghp-1", "host": None}, "gitlab": {"token": "", "host": "h"}}
    )
    await book.add_tokens(LOCAL_OWNER, {"github": {"token": None, "host": "ghe.example.org"}})
    assert await book.providers(LOCAL_OWNER) == {"github": "ghe.example.org"}
    assert b"ghp-1" in await files.read((await files.list())[0])
    await book.forget_tokens(LOCAL_OWNER)
    assert await book.providers(LOCAL_OWNER) == {}
