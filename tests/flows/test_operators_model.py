"""A server whose operator has set a model: what a new user is shown, and whose key goes where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.model_replies import Reply
from tests.support.model_server import ModelServer, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

MODEL = "openai/operators-model"


@asynccontextmanager
async def operated(data_dir: Path, **more: str) -> AsyncIterator[tuple[Server, Clients, ModelServer]]:
    """A server with a model, its clients, and the model's far side."""
    async with model_server({"go": [Reply(text="Done.")] * 3}) as model:
        llm = {"OHS_LLM__MODEL": MODEL, "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "sk-operator"}
        async with running_server(data_dir, llm | more) as server, Clients(server.url) as clients:
            yield server, clients, model


async def answered(clients: Clients) -> None:
    """A conversation whose model has answered."""
    client = clients.v0(await clients.rest.create("please [[go]]"))
    await client.connect()
    await client.until_state("awaiting_user_input")


def keys_at(model: ModelServer) -> set[str]:
    """The keys that a model's far side was sent."""
    return {asked.headers["Authorization"].removeprefix("Bearer ") for asked in model.requests}


async def test_a_new_user_is_shown_the_operators_model_and_asked_for_nothing(data_dir: Path) -> None:
    async with operated(data_dir, OHS_AGENT__CONFIRMATION_MODE="true") as (_, clients, model):
        status, shown = await clients.rest.ask("GET", "/api/settings")
        assert (status, shown["llm_model"], shown["llm_api_key_set"]) == (200, MODEL, True)
        assert (shown["agent"], shown["confirmation_mode"]) == ("CodeActAgent", True)
        assert (shown["llm_base_url"], shown["llm_api_key"]) == (None, None), "they are the operator's own"
        assert shown["user_consents_to_analytics"] is False, "nothing is sent, so nobody is asked"
        assert MODEL in (await clients.rest.ask("GET", "/api/options/models"))[1]
        await answered(clients)
        assert keys_at(model) == {"sk-operator"}


async def test_who_saves_what_was_shown_still_gets_the_model_that_the_operator_names_next(data_dir: Path) -> None:
    async with operated(data_dir) as (server, clients, _):
        _, shown = await clients.rest.ask("GET", "/api/settings")
        assert (await clients.rest.ask("POST", "/api/settings", {**shown, "language": "de"}))[0] == 200
        await server.stopped()
        server.settings = {**server.settings, "OHS_LLM__MODEL": "openai/next-model"}
        await server.start()
        _, shown = await clients.rest.ask("GET", "/api/settings")
        assert (shown["language"], shown["llm_model"], shown["llm_api_key_set"]) == ("de", "openai/next-model", True)


async def test_a_users_own_model_key_and_address_are_used_instead_of_the_operators(data_dir: Path) -> None:
    async with operated(data_dir) as (_, clients, operators), model_server({"go": [Reply(text="Done.")]}) as own:
        chosen = {"llm_model": "openai/own-model", "llm_base_url": own.url, "llm_api_key": "sk-own"}
        await clients.rest.ask("POST", "/api/settings", chosen)
        _, shown = await clients.rest.ask("GET", "/api/settings")
        assert (shown["llm_model"], shown["llm_base_url"], shown["llm_api_key_set"]) == (
            "openai/own-model",
            own.url,
            True,
        )
        await answered(clients)
        assert (keys_at(own), keys_at(operators)) == ({"sk-own"}, set())


async def test_a_users_own_address_gets_no_key_of_the_operators(data_dir: Path) -> None:
    async with operated(data_dir) as (_, clients, operators), model_server({"go": [Reply(text="Done.")]}) as own:
        await clients.rest.ask("POST", "/api/settings", {"llm_base_url": own.url})
        assert (await clients.rest.ask("GET", "/api/settings"))[1]["llm_api_key_set"] is False
        await answered(clients)
        assert (keys_at(own), keys_at(operators)) == ({"no-key"}, set())


async def test_another_model_of_the_operators_provider_is_reached_as_the_operator_reaches_it(data_dir: Path) -> None:
    async with operated(data_dir) as (_, clients, operators):
        await clients.rest.ask("POST", "/api/settings", {"llm_model": "openai/another"})
        assert (await clients.rest.ask("GET", "/api/settings"))[1]["llm_api_key_set"] is True
        await answered(clients)
        assert {asked.body["model"] for asked in operators.requests} == {"another"}
        assert keys_at(operators) == {"sk-operator"}


async def test_another_provider_without_a_key_says_so_and_sends_nothing_to_the_operators_address(
    data_dir: Path,
) -> None:
    async with operated(data_dir) as (_, clients, operators):
        await clients.rest.ask("POST", "/api/settings", {"llm_model": "openhands/claude-sonnet-4-20250514"})
        assert (await clients.rest.ask("GET", "/api/settings"))[1]["llm_api_key_set"] is False
        client = clients.v0(await clients.rest.create("please [[go]]"))
        await client.connect()
        failed = await client.until_state("error")
        assert "key" in failed["extras"]["reason"]
        assert keys_at(operators) == set()
