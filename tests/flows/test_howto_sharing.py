"""`docs/howto/share-a-conversation.md`: its commands, in their order, and its setting."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.config.loading import load
from tests.support.page_shell import PageShell, variables_of
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.token_keys import SECRET, by_secret

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "share-a-conversation.md").read_text()
USERS, LINK, USE, BACK, REST = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[AUDIT] = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
[LINE] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
ADA = by_secret(sub="ada")


@dataclass(frozen=True)
class Page:
    """A server as the page wants it, and a conversation of ada's."""

    server: Server
    ada: Clients
    sid: str

    def shell(self, folder: Path, **variables: str) -> PageShell:
        return PageShell(folder, {"OHS_SESSION_API_KEY": ADA, "TOKEN": ADA, "ID": self.sid, **variables})

    def words(self, block: str) -> str:
        return block.replace("3000", str(self.server.port))

    async def shares(self) -> Any:
        status, answer = await self.ada.rest.ask("GET", f"/api/conversations/{self.sid}/shares")
        assert status == 200, answer
        return answer


@pytest.fixture
async def page(data_dir: Path) -> AsyncIterator[Page]:
    settings = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET, **variables_of(AUDIT)}
    async with running_server(data_dir, settings) as server, Clients(server.url, key=ADA) as ada:
        yield Page(server, ada, await ada.rest.create())


async def test_the_commands_of_the_page_in_their_order(page: Page, data_dir: Path, tmp_path: Path) -> None:
    shell = page.shell(tmp_path / "shell")
    told = await shell.run(page.words(USERS))
    assert [line.split()[1:3] for line in told.splitlines()[1::2]] == [["bob", "view"], ["carol", "write"]]
    await shell.run(page.words(LINK))
    [link] = (await page.shares())["links"]
    assert link["permission"] == "view"
    shown = await shell.run(page.words(USE))
    assert page.sid in shown
    assert json.loads((shell.folder / "events.json").read_text())["events"] is not None
    async with Clients(page.server.url, key=(shell.folder / "link.token").read_text().strip()) as guest:
        client = guest.protocol2(page.sid)
        await client.connect()
        taken = page.shell(tmp_path / "taken", LINK=link["id"])
        listed = await taken.run(page.words(BACK))
        assert [line.split()[1] for line in listed.splitlines()[1:4]] == ["bob", "carol", link["id"]]
        assert (await client.until_told("ended"))["reason"] == "revoked"
    shares = await page.shares()
    assert ([each["user"] for each in shares["users"]], shares["links"]) == (["bob"], [])
    await taken.run(page.words(REST))
    assert (await page.shares())["users"] == shares["users"]
    written = [json.loads(line) for line in (data_dir / "audit.jsonl").read_text().splitlines()]
    assert {record["action"] for record in written} >= {"created", "shared", "link_made", "followed", "unshared"}
    assert json.loads(LINE).keys() == next(each for each in written if each["action"] == "shared").keys()


def test_the_setting_of_the_page_is_a_setting() -> None:
    assert load({}, variables_of(AUDIT), None).config.audit.enabled
