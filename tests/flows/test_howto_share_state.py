"""`docs/howto/share-state.md`: its blocks, as they stand there, in one program; and its request."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.states import StateChangeIn
from tests.support.library_programs import LibraryPrograms

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "share-state.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SCRIPT = """\
replies:
  - when: Research
    steps:
      - {call: note, with: {finding: Qubits exist.}}
      - say: Done.
  - when: Count
    steps:
      - {call: state, with: {operation: incr, key: visits}}
      - say: Counted.
  - steps: [{say: Hello.}]
  - steps: [{say: Yes.}]
"""
PRINTED = """\
quantum computing none
{'notes': [{'page': 3}], 'topic': 'quantum computing', 'visits': 3}
2
topic quantum computing cats dogs
True False
DOGS
['Qubits exist.'] ['Qubits exist.']
42
{'language': 'en-GB'} {'city': 'Ulm'} [{'name': 'plan', 'result': ['read', 'write']}]
2
1 {'language': 'en-GB'}
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_blocks_of_the_page_run_from_top_to_bottom(tmp_path: Path) -> None:
    async with asyncio.timeout(300):
        programs = LibraryPrograms(folder=tmp_path, data_dir=tmp_path / "data")
        programs.script(SCRIPT)
        text = "\n".join(BLOCKS).replace("scripted:demo", "scripted:play")
        process = await programs.start(text)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert out.decode() == PRINTED


def test_the_request_of_the_page_is_one_that_a_server_takes() -> None:
    [request] = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(checked(StateChangeIn, json.loads(request)).operations) == 2
