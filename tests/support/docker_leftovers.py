"""What the sandboxes of a test run left in an engine: nothing, or the run fails."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from tests.support.docker_engine import Engine


def leftovers(engine: Engine, folder: Path) -> list[str]:
    """Containers, networks and volumes that carry the label of an instance below this folder. Those of other runs that
    use the engine at the same time lie elsewhere."""
    ours = {f"{INSTANCE}={path.read_text()}" for path in folder.rglob("instance") if path.is_file()}
    with closing(engine.client()) as client:
        return [name for label in sorted(ours) for name in _labelled(client.api, label)]


def _labelled(api: docker.APIClient, label: str) -> Iterator[str]:
    chosen = {"label": label}
    for container in api.containers(all=True, filters=chosen):
        yield f"container {container['Names'][0]}: {container['State']}"
    for network in api.networks(filters=chosen):
        yield f"network {network['Name']}"
    for volume in api.volumes(filters=chosen)["Volumes"] or ():
        yield f"volume {volume['Name']}"
