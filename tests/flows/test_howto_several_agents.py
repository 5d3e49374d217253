"""`docs/howto/several-agents.md`: its commands, in their order."""

import json
import re
from pathlib import Path

from tests.support.model_replies import Reply
from tests.support.model_server import MODEL, model_server
from tests.support.page_shell import PageShell
from tests.support.running_server import running_server
from tests.support.server_clients import Clients

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "several-agents.md").read_text()
CREATE, SAY = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


async def test_the_commands_of_the_page_in_their_order(data_dir: Path, tmp_path: Path) -> None:
    async with model_server([Reply(text="Ulm is nice."), Reply(text="The river is missing.")]) as model:
        llm = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "sk-loopback"}
        async with running_server(data_dir, llm) as server, Clients(server.url) as clients:
            shell = PageShell(tmp_path / "shell", {})
            await shell.run(CREATE.replace("3000", str(server.port)))
            sid = json.loads((shell.folder / "made.json").read_text())["conversation_id"]
            saying = PageShell(tmp_path / "saying", {"ID": sid})
            await saying.run(SAY.replace("3000", str(server.port)))
            client = clients.protocol2(sid)
            await client.connect()
            await client.until(lambda: sum(event.get("observation") == "turn_ended" for event in client.events) == 2)
            said = [
                (event["agent_name"], event["args"]["content"])
                for event in client.events
                if event.get("action") == "message" and event["source"] == "agent"
            ]
    assert said == [("writer", "Ulm is nice."), ("critic", "The river is missing.")]
