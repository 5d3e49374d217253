"""`docs/howto/limit-users.md`: its commands in their order, and its settings."""

import json
import re
from pathlib import Path

from openhands_sessions.config.loading import load
from tests.support.page_shell import PageShell, variables_of
from tests.support.running_server import running_server
from tests.support.server_clients import Clients, Rest

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "limit-users.md").read_text()
CREATE, DELETE, USAGE, USAGE_OF_ADA = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[SETTINGS] = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
[REFUSAL] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
[QUOTAS] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
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


async def test_quotas_and_usage_are_shown(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "quotas.toml"
    file.write_text(QUOTAS)
    settings = {"OHS_CONFIG": str(file), "OHS_LLM__MODEL": "scripted:demo"}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        client = clients.protocol2(await clients.rest.create("hello"))
        await client.connect()
        await client.until_state("awaiting_user_input")
        shell = PageShell(tmp_path / "shell", {"OHS_SESSION_API_KEY": "any"})
        *lines, answer = (await shell.run(USAGE.replace("3000", str(server.port)))).splitlines()
        tables = "\n".join(lines)
        assert re.search(r"^\*  +\$0\.00 +\$5\.00 +\d{4}-\d\d-\d\d 00:00 UTC$", tables, re.MULTILINE)
        assert re.search(r"^anthropic/\*  +0 +20 conversations +", tables, re.MULTILINE)
        assert re.search(r"scripted:demo +main +[1-9]", tables)
        assert re.search(r"^all +[1-9]\d* +0 ", tables, re.MULTILINE)
        report = json.loads(answer)
        assert {entry["model"] for entry in report["entries"]} == {"scripted:demo"}
        assert [quota["models"] for quota in report["quotas"]] == ["*", "anthropic/*"]
        of_ada = await shell.run(USAGE_OF_ADA.replace("3000", str(server.port)))
        assert re.search(r"^all +0 ", of_ada, re.MULTILINE)


def test_the_settings_of_the_page_are_settings() -> None:
    variables = variables_of(SETTINGS)
    config = load({}, variables, None).config
    assert config.server.max_stored_bytes_per_user == 20_000_000_000
    named = set(re.findall(r"`((?:server|limits)\.\w+)`", TEXT))
    assert {name.removeprefix("OHS_").replace("__", ".").lower() for name in variables} == named
