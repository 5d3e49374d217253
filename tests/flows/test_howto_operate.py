"""`docs/howto/operate.md`: its commands, in a shell, against a server."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from openhands_sessions.bootstrap.kinds import archive_options
from openhands_sessions.config.config import Config
from openhands_sessions.config.loading import settings
from openhands_sessions.config.session_key import read_key
from tests.support.page_shell import PageShell
from tests.support.running_server import Server, running_server

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "operate.md").read_text()
METRICS, MODEL, TLS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[ANSWER] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
TELEMETRY, TRAJECTORIES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
[PROMETHEUS] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
KEY = "a-key-of-prometheus"
SETTINGS = {"OHS_METRICS__KEY": KEY, "OHS_AUTH__KIND": "session_key", "OHS_LLM__MODEL": "scripted:demo"}


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, SETTINGS) as ready:
        yield ready


def commands(text: str, server: Server) -> str:
    return text.replace("$(openssl rand -hex 16)", KEY).replace(":3000", f":{server.port}")


async def test_the_metrics_are_read_with_their_key(server: Server, tmp_path: Path) -> None:
    said = await PageShell(tmp_path / "shell", {}).run(commands(METRICS, server))
    assert said.splitlines()[-1] == "openhands_sessions_accepting 1.0"


async def test_whether_the_model_answers_is_told(server: Server, tmp_path: Path) -> None:
    key = read_key(server.data_dir)
    assert key is not None
    shell = PageShell(tmp_path / "shell", {"OHS_SESSION_API_KEY": key})
    told = json.loads(await shell.run(commands(MODEL, server)))
    assert {**told, **json.loads(ANSWER), "model": "scripted:demo"} == told


async def test_a_certificate_is_made_and_looked_at(tmp_path: Path) -> None:
    shell = PageShell(tmp_path / "shell", {"OHS_DATA_DIR": str(tmp_path / "data"), "OHS_SERVER__PORT": "0"})
    assert re.search(r"^tls +ok +the certificate expires in (89|90) days$", await shell.run(TLS), re.MULTILINE)


def test_prometheus_is_told_to_show_the_key() -> None:
    [job] = yaml.safe_load(PROMETHEUS)["scrape_configs"]
    assert "credentials_file" in job["authorization"]
    assert "metrics_path" not in job  # /metrics is where Prometheus looks


def test_a_collector_is_named_in_the_configuration() -> None:
    assert Config.model_validate(tomllib.loads(TELEMETRY)).telemetry.traces_endpoint is not None


def test_a_bucket_is_named_in_the_configuration() -> None:
    found = Config.model_validate(tomllib.loads(TRAJECTORIES))
    assert found.trajectories.save_to is not None
    assert archive_options(found).keys() == {"key", "secret", "endpoint_url"}


def test_the_settings_of_the_page_are_settings() -> None:
    named = set(re.findall(r"`((?:server|metrics|llm|telemetry|trajectories)\.\w+)`", TEXT))
    assert named - set(settings()) == set()
