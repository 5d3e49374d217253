"""`docs/howto/limit-users.md`: its commands in their order, and its settings."""

import json
import re
from pathlib import Path

from openhands_sessions.config.loading import load
from tests.support.page_shell import PageShell, variables_of
from tests.support.running_server import running_server
from tests.support.server_clients import Rest

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "limit-users.md").read_text()
CREATE, DELETE = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[SETTINGS] = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
[REFUSAL] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
[LOWERED] = re.findall(r"With `(OHS_SERVER__MAX_CONVERSATIONS_PER_USER=2)`", TEXT)


async def test_the_third_conversation_is_refused_until_one_is_deleted(data_dir: Path, tmp_path: Path) -> None:
    async with running_server(data_dir, variables_of(LOWERED)) as server, Rest(server.url) as rest:
        shell = PageShell(tmp_path / "shell", {"OHS_SESSION_API_KEY": "any"})
        said = await shell.run(CREATE.replace("3000", str(server.port)))
        answers = [json.loads(answer) for answer in re.findall(r"\{.*?\}(?=\{|$)", said.replace("\n", ""))]
        assert [answer["status"] for answer in answers] == ["ok", "ok", "error"]
        assert {**answers[2], **json.loads(REFUSAL)} == answers[2]
        await shell.run(DELETE.replace("3000", str(server.port)))
        assert len((await rest.ask("GET", "/api/conversations"))[1]["results"]) == 1
        await rest.create()


def test_the_settings_of_the_page_are_settings() -> None:
    variables = variables_of(SETTINGS)
    config = load({}, variables, None).config
    assert config.server.max_stored_bytes_per_user == 20_000_000_000
    named = set(re.findall(r"`((?:server|limits)\.\w+)`", TEXT))
    assert {name.removeprefix("OHS_").replace("__", ".").lower() for name in variables} == named
