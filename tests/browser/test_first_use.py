"""A new user in a browser: with a model of the operator's at once, otherwise through the dialog that asks for one."""

from pathlib import Path

from playwright.async_api import BrowserContext

from tests.support.browser_tabs import Tab
from tests.support.model_replies import Reply
from tests.support.model_server import model_server
from tests.support.running_server import running_server
from tests.support.server_clients import Clients


async def test_who_comes_to_a_server_with_a_model_begins_without_a_dialog(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with model_server({"go": [Reply(text="Here I am.")]}) as model:
        settings = {
            "OHS_SERVER__CLIENT_DIR": str(client_dir),
            "OHS_LLM__MODEL": "openai/operators-model",
            "OHS_LLM__BASE_URL": model.url,
            "OHS_LLM__API_KEY": "sk-operator",
        }
        async with running_server(data_dir, settings) as server:
            tab = Tab(await browser.new_page(), server.url)
            await tab.page.goto(server.url)
            told = tab.page.get_by_text("openai/operators-model, with a key")
            await told.wait_for()
            assert not await tab.page.get_by_role("dialog").is_visible()
            await tab.begin("please [[go]]")
            await tab.until_state("awaiting_user_input")
            assert await tab.rows(source="agent", kind="message") == ["Here I am."]


async def test_the_dialog_of_a_server_without_a_model_has_models_of_the_provider_that_it_preselects(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    settings = {"OHS_SERVER__CLIENT_DIR": str(client_dir)}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        tab = Tab(await browser.new_page(), server.url)
        await tab.page.goto(server.url)
        await tab.page.get_by_role("dialog").wait_for()
        chosen = tab.page.get_by_label("Model")
        assert await chosen.input_value() == "openhands/claude-sonnet-4-20250514"
        assert await chosen.locator("option").count() > 10
        await tab.page.get_by_label("Key").fill("sk-own")
        await tab.press("Save")
        await tab.page.get_by_text("openhands/claude-sonnet-4-20250514, with a key").wait_for()
        _, stored = await clients.rest.ask("GET", "/api/settings")
        assert (stored["llm_model"], stored["llm_api_key_set"]) == ("openhands/claude-sonnet-4-20250514", True)
