"""Settings, secrets and tokens over REST, as the V0 client asks for them."""

from pathlib import Path
from typing import Any

from tests.support.running_server import running_server
from tests.support.server_clients import Clients

STORED: dict[str, Any] = {
    "llm_model": "scripted:demo",
    "llm_api_key": "sk-users-own-key",
    "agent": "CodeActAgent",
    "language": "en",
    "max_iterations": 50,
    "user_consents_to_analytics": False,
}


async def test_settings_are_unknown_then_stored_then_shown_without_keys(clients: Clients) -> None:
    ask = clients.rest.ask
    status, told = await ask("GET", "/api/settings")
    assert (status, told["error"], told["code"]) == (404, "Settings not found", "not_found")
    assert await ask("POST", "/api/settings", STORED) == (200, {"message": "Settings stored"})
    status, shown = await ask("GET", "/api/settings")
    assert status == 200
    assert (shown["llm_model"], shown["llm_api_key"], shown["llm_api_key_set"]) == ("scripted:demo", None, True)
    assert (shown["agent"], shown["secrets_store"]) == ("CodeActAgent", {"provider_tokens": {}})
    assert await ask("POST", "/api/settings", {"language": "de"}) == (200, {"message": "Settings stored"})
    _, shown = await ask("GET", "/api/settings")
    assert (shown["language"], shown["llm_model"], shown["llm_api_key_set"]) == ("de", "scripted:demo", True)
    assert (shown["max_iterations"], shown["user_consents_to_analytics"]) == (None, False)
    assert (await ask("POST", "/api/reset-settings"))[0] == 410


async def test_wrong_settings_are_refused_by_their_name_and_nothing_is_stored(clients: Clients) -> None:
    ask = clients.rest.ask
    for given, field in (
        ({"llm_modle": "m"}, "llm_modle"),
        ({"agent": "NoAgent"}, "agent"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"condenser_max_size": 5}, "condenser_max_size"),
        ({"git_user_name": "a\0b"}, "git_user_name"),
        ({"git_user_name": "a\nb"}, "git_user_name"),
        ({"git_user_email": "x" * 200_000}, "git_user_email"),
        ({"llm_api_key": "key\n"}, "llm_api_key"),
        ([1], "the body"),
    ):
        status, answer = await ask("POST", "/api/settings", given)
        assert (status, answer["field"]) == (422, field)
    assert (await ask("GET", "/api/settings"))[0] == 404


async def test_a_stored_model_answers_in_the_next_conversation(clients: Clients) -> None:
    await clients.rest.ask("POST", "/api/settings", STORED)
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    [system] = [event for event in client.events if event.get("action") == "system"]
    assert system["args"]["agent_class"] == "ModelAgent"


async def test_secrets_are_made_renamed_and_deleted_as_recorded(clients: Clients) -> None:
    ask = clients.rest.ask
    assert await ask("GET", "/api/secrets") == (200, {"custom_secrets": []})
    made = {"name": "A", "value": "v", "description": "d"}
    assert await ask("POST", "/api/secrets", made) == (201, {"message": "Secret created successfully"})
    status, told = await ask("POST", "/api/secrets", made)
    assert (status, told["message"], told["code"]) == (400, "Secret A already exists", "already_exists")
    assert await ask("GET", "/api/secrets") == (200, {"custom_secrets": [{"name": "A", "description": "d"}]})
    changed = {"name": "B", "description": "e"}
    assert await ask("PUT", "/api/secrets/A", changed) == (200, {"message": "Secret updated successfully"})
    assert await ask("GET", "/api/secrets") == (200, {"custom_secrets": [{"name": "B", "description": "e"}]})
    assert await ask("DELETE", "/api/secrets/B") == (200, {"message": "Secret deleted successfully"})
    status, told = await ask("DELETE", "/api/secrets/B")
    assert (status, told["message"], told["code"]) == (404, "secret 'B' not found", "not_found")
    assert (await ask("POST", "/api/secrets", {"name": "a-b", "value": "v"}))[0] == 422


async def test_tokens_of_git_providers_are_kept_and_only_their_names_are_shown(clients: Clients) -> None:
    ask = clients.rest.ask
    await ask("POST", "/api/settings", {})
    given = {"provider_tokens": {"github": {"token": "ghp_secret", "host": None}}}
    assert (await ask("POST", "/api/add-git-providers", given))[0] == 200
    _, shown = await ask("GET", "/api/settings")
    assert shown["provider_tokens_set"] == {"github": None}
    assert "ghp_secret" not in str(shown)
    assert await ask("POST", "/api/unset-provider-tokens") == (200, {"message": "Unset Git provider tokens"})
    assert (await ask("GET", "/api/settings"))[1]["provider_tokens_set"] == {}
    for tokens, field in (
        ({"gitbub": {"token": "t"}}, "gitbub"),
        ({"github": {"token": "t\n"}}, "github.token"),
        ({"github": {"token": "t", "host": "a\0b"}}, "github.host"),
    ):
        status, answer = await ask("POST", "/api/add-git-providers", {"provider_tokens": tokens})
        assert (status, answer["field"]) == (422, f"provider_tokens.{field}")
    status, answer = await ask("POST", "/api/secrets", {"name": "A", "value": "v", "description": "a\0b"})
    assert (status, answer["field"]) == (422, "description")


async def test_with_a_key_nothing_is_stored_in_clear_and_all_is_there_after_a_restart(data_dir: Path) -> None:
    settings = {"OHS_SERVER__ENCRYPTION_KEY": "a key of enough characters"}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        ask = clients.rest.ask
        await ask("POST", "/api/settings", STORED)
        await ask("POST", "/api/secrets", {"name": "TOKEN", "value": "hunter2-hunter2"})
        await clients.rest.create(llm_api_key="sk-of-this-conversation")
        kept = [path for path in (data_dir / "files").rglob("*") if path.is_file()]
        assert len(kept) == 3
        assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
        on_disk = b"".join(path.read_bytes() for path in kept)
        assert not [word for word in (b"sk-users", b"hunter2", b"sk-of-this") if word in on_disk]
        await server.stopped()
        await server.start()
        assert (await ask("GET", "/api/settings"))[1]["llm_api_key_set"] is True
