"""The server's own keys: in no event, and not to be read from its memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running_server import running_server
from tests.support.server_clients import Clients

KEY, ENCRYPTION, MODEL = "the-session-key-0123", "the-encryption-key-4567", "sk-the-models-key"


@pytest.mark.parametrize("secret", [KEY, ENCRYPTION, MODEL])
async def test_the_servers_keys_are_masked_in_what_a_conversation_records(data_dir: Path, secret: str) -> None:
    settings = {
        "OHS_AUTH__KIND": "session_key",
        "OHS_SESSION_API_KEY": KEY,
        "OHS_SERVER__ENCRYPTION_KEY": ENCRYPTION,
        "OHS_LLM__API_KEY": MODEL,
    }
    async with running_server(data_dir, settings) as server, Clients(server.url, key=KEY) as clients:
        sid = await clients.rest.create(f"$ echo {secret[:6]}; echo {secret} | rev | rev")
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        text = str(client.events)
    assert secret[:6] in text
    assert secret not in text
    assert "<secret_hidden>" in text


def test_a_server_cannot_be_dumped_or_read_by_its_users_other_programs() -> None:
    program = (
        "import ctypes; from openhands_sessions.cli.serve import _hide_memory; _hide_memory();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout == "0\n"
