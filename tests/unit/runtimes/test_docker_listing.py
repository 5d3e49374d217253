"""What an engine lists, as it may be told in between."""

from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from tests.support.fake_pull_engine import fake_pull_engine


@pytest.mark.parametrize(("names", "called"), [(["/talk"], "talk"), ([], "0123"), (None, "0123")])
async def test_a_container_that_has_lost_its_name_is_listed_by_its_id(
    tmp_path: Path, names: list[str] | None, called: str
) -> None:
    row = {"Id": "0123", "Names": names, "State": "removing", "Labels": None, "Created": 0}
    async with fake_pull_engine(tmp_path, containers=[row]) as address:
        engine = DockerEngine(address)
        try:
            assert [(each.name, each.labels) for each in await engine.list("a=b")] == [(called, {})]
        finally:
            await engine.close()
