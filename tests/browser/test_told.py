"""What the V0 client tells its user beside the conversation: why a command was refused, what feedback became, how full
the model's window is, and that an action was rejected."""

import base64
from pathlib import Path

from playwright.async_api import BrowserContext

from tests.support.browser_tabs import browser_clients
from tests.support.model_replies import Call, Reply

RUNS = Reply(calls=[Call(name="execute_bash", arguments={"command": "echo there it is"})])
PIXEL = base64.b64decode("iVBORw0KGgo=")


async def test_an_image_for_a_model_without_eyes_is_refused_in_red_and_the_chat_goes_on(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"go": [Reply(text="Hello.")]}) as visitors:
        tab = await visitors.tab()
        await tab.begin()
        await tab.until_state("awaiting_user_input")
        picture = {"name": "a.png", "mimeType": "image/png", "buffer": PIXEL}
        await tab.page.get_by_label("Images").set_input_files(picture)  # type: ignore[arg-type]  # as FilePayload
        await tab.say("what is it? [[go]]")
        assert "cannot be looked at by this model" in await tab.until_banner("image_urls")
        await tab.say("hello [[go]]")
        await tab.until("held => held.events.some(event => event.message === 'Hello.')")
        assert await tab.page.get_by_role("alert").inner_text() == ""
        assert len((await tab.held()).visits) == 1


async def test_what_comes_too_fast_or_is_too_large_is_refused_in_red(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    slow = {
        "OHS_LIMITS__MESSAGES_PER_SECOND": "0.1",
        "OHS_LIMITS__MESSAGES_BURST": "1",
        "OHS_LIMITS__MESSAGE_BYTES": "65536",
    }
    async with browser_clients(browser, data_dir, client_dir, {"go": [Reply(text="Hello.")]}, server=slow) as visitors:
        tab = await visitors.tab()
        await tab.begin()
        await tab.until_state("awaiting_user_input")
        await tab.say("x" * 70_000)
        await tab.until_banner("must not be larger than 65536 bytes")
        await tab.say("hello [[go]]")
        await tab.until("held => held.events.some(event => event.message === 'Hello.')")
        await tab.say("hello [[go]]")
        await tab.until("held => held.banners.length === 2")
        assert (await tab.held()).ends == []


async def test_feedback_and_the_models_window_are_told(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    scripts = {"go": [Reply(text="Hello.")]}
    async with browser_clients(browser, data_dir, client_dir, scripts, llm_model="openai/gpt-4o") as visitors:
        tab = await visitors.tab()
        await tab.begin("please [[go]]")
        await tab.until_state("awaiting_user_input")
        used, window, share = (await tab.page.locator("#usage").inner_text()).replace(" /", "").split()
        assert (int(used) > 0, window, share.startswith("(0.")) == (True, "128000", True)
        await tab.press("Thumbs up")
        receipt = tab.page.get_by_text("Your feedback is kept on this server")
        await receipt.wait_for()
        assert "undefined" not in await receipt.inner_text()


async def test_a_refused_action_is_told_as_rejected_by_the_user(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"go": [RUNS]}, confirmation_mode=True) as visitors:
        tab = await visitors.tab()
        await tab.begin("please [[go]]")
        await tab.until_state("awaiting_user_confirmation")
        await tab.press("Reject")
        await tab.until_state("awaiting_user_input")
        [told] = await tab.rows(kind="user_rejected")
        assert "rejected by the user" in told
