"""`docs/howto/operate.md`: its commands, in a shell, against a server."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from openhands_sessions.config.loading import settings
from tests.support.page_shell import PageShell
from tests.support.running_server import Server, running_server

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "operate.md").read_text()
[METRICS] = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[PROMETHEUS] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
KEY = "a-key-of-prometheus"


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, {"OHS_METRICS__KEY": KEY, "OHS_AUTH__KIND": "session_key"}) as ready:
        yield ready


def commands(text: str, server: Server) -> str:
    return text.replace("$(openssl rand -hex 16)", KEY).replace(":3000", f":{server.port}")


async def test_the_metrics_are_read_with_their_key(server: Server, tmp_path: Path) -> None:
    said = await PageShell(tmp_path / "shell", {}).run(commands(METRICS, server))
    assert said.splitlines()[-1] == "openhands_sessions_accepting 1.0"


def test_prometheus_is_told_to_show_the_key() -> None:
    [job] = yaml.safe_load(PROMETHEUS)["scrape_configs"]
    assert "credentials_file" in job["authorization"]
    assert "metrics_path" not in job  # /metrics is where Prometheus looks


def test_the_settings_of_the_page_are_settings() -> None:
    named = set(re.findall(r"`((?:server|metrics)\.\w+)`", TEXT))
    assert named - set(settings()) == set()
