"""Where a conversation's settings come from, and where its key is kept."""

from typing import Any

import orjson
import pytest

from openhands_sessions.adapters.files.local import LocalFiles
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, OwnerId, folder_name
from openhands_sessions.service.settings import SettingsStore, secret_of, without_secret
from tests.fakes.files import MemoryFiles

TALK = ConversationId("talk")
SERVER: list[dict[str, Any]] = [{"llm_model": "server", "max_iterations": 5}, {"max_iterations": 6}]


async def with_user(**settings: Any) -> SettingsStore:
    files = MemoryFiles()
    key = f"users/{folder_name(ConversationId(LOCAL_OWNER))}/settings.json"
    await files.write(key, orjson.dumps(settings))
    return SettingsStore(files, SERVER)


async def test_each_layer_wins_over_those_before_it() -> None:
    book = await with_user(llm_model="users", agent="shell")
    merged = await book.merged(LOCAL_OWNER, {"llm_model": "requests"})
    assert (merged.llm_model, merged.agent, merged.max_iterations) == ("requests", "shell", 6)
    assert (await book.merged(LOCAL_OWNER, {})).llm_model == "users"
    assert (await book.merged(OwnerId("other"), {})).llm_model == "server"


async def test_a_wrong_request_is_refused_by_its_name() -> None:
    with pytest.raises(BadInput) as refused:
        await SettingsStore(MemoryFiles(), SERVER).merged(LOCAL_OWNER, {"max_iterations": -1})
    assert refused.value.field == "max_iterations"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"7"])
async def test_a_damaged_file_is_no_layer(content: bytes) -> None:
    files = MemoryFiles()
    await files.write(f"users/{folder_name(ConversationId(LOCAL_OWNER))}/settings.json", content)
    assert (await SettingsStore(files, SERVER).merged(LOCAL_OWNER, {})).llm_model == "server"


@pytest.mark.parametrize("levels", [101, 300, 5_000])
async def test_what_is_nested_too_deeply_is_passed_over_and_not_kept(levels: int) -> None:
    files, deep = MemoryFiles(), b"[" * levels + b"]" * levels
    key = f"users/{folder_name(ConversationId(LOCAL_OWNER))}/settings.json"
    await files.write(key, b'{"llm_model":"users","mcp_config":{"shttp_servers":' + deep + b"}}")
    book = SettingsStore(files, SERVER)
    assert (await book.merged(LOCAL_OWNER, {})).llm_model == ("server" if levels > 1_000 else "users")
    value: Any = 7
    for _ in range(levels):
        value = [value]
    with pytest.raises(BadInput):
        secret_of({"mcp_config": value})
    with pytest.raises(BadInput) as refused:
        await book.store(LOCAL_OWNER, {"mcp_config": {"sse_servers": value}})
    assert refused.value.field == "mcp_config"


async def test_a_key_is_kept_apart_and_comes_back() -> None:
    book = SettingsStore(MemoryFiles(), ())
    request: dict[str, Any] = {"llm_model": "m", "llm_api_key": "sk-\ud800"}
    assert without_secret(request) == {"llm_model": "m"}
    await book.keep(TALK, secret_of(request))
    assert await book.kept(TALK, without_secret(request)) == request
    assert await book.kept(ConversationId("other"), {"a": 1}) == {"a": 1}
    await book.forget(TALK)
    assert await book.kept(TALK, {}) == {}
    await book.forget(TALK)


@pytest.mark.parametrize("request_", [{}, {"llm_model": "m"}, {"llm_api_key": None}])
async def test_without_a_key_nothing_is_kept(request_: dict[str, Any]) -> None:
    files = MemoryFiles()
    await SettingsStore(files, ()).keep(TALK, secret_of(request_))
    assert await files.list() == []


async def test_a_key_on_disk_is_for_its_owner_alone(tmp_path: Any) -> None:
    await SettingsStore(LocalFiles(tmp_path / "files"), ()).keep(TALK, secret_of({"llm_api_key": "sk"}))
    [secret] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "talk" not in str(secret.relative_to(tmp_path))
