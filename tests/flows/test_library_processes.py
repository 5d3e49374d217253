"""Sessions of programs over the life of processes: kills, forks, interrupts, two at a time, beside a server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.event_stream_client import EventStreamClient
from tests.support.library_programs import LibraryPrograms, killed, line_of
from tests.support.running_server import Server
from tests.support.server_clients import Clients

LONG = 500
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]

STORY = "A very long story. " * 300
QUICK = "  - {when: now, steps: [{say: Quick.}]}\n"
SLOW = f"replies:\n{QUICK}  - steps: [{{say: {STORY}, delay: 0.2, piece: 2}}]\n"
PAY = """\
replies:
  - steps:
      - {call: pay, with: {amount: 3}}
      - say: Paid.
"""
PAYING = """
def pay(amount: int) -> str:
    "Pay."
    with open(os.environ["FOLDER"] + "/paid", "a") as file:
        file.write(f"{amount}\\n")
    if not os.path.exists(os.environ["FOLDER"] + "/killed"):
        open(os.environ["FOLDER"] + "/killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "paid"

"""
EVENTS = "\nimport json\nsay(json.dumps(paying.events()))\n"


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[LibraryPrograms]:
    async with asyncio.timeout(LONG):
        yield LibraryPrograms(folder=tmp_path)


async def test_importing_the_face_loads_neither_engine_nor_libraries(programs: LibraryPrograms) -> None:
    heavy = ("litellm", "aiohttp", "sqlite3", "socketio", "docker", "openhands_sessions.bootstrap", "yaml")
    out = await programs.run(f"say([name for name in {heavy} if name in sys.modules])")
    assert out == "[]\n"


async def test_a_function_that_a_kill_cuts_off_is_not_called_again_and_its_outcome_is_unknown(
    programs: LibraryPrograms,
) -> None:
    programs.script(PAY)
    turn = 'paying = session("my-id", pay)\nsay(paying.chat("Pay 3", idempotency_key="k"))\n'
    await programs.run(PAYING + turn, code=-signal.SIGKILL)
    out = await programs.run(PAYING + turn + EVENTS)
    answer, events = out.splitlines()
    assert answer == "Paid."
    assert (programs.folder / "paid").read_text() == "3\n"
    [unknown] = [event for event in json.loads(events) if event.get("observation") == "error"]
    assert "The outcome is unknown; it was not called again." in unknown["content"]


async def test_an_idempotent_function_is_called_again_after_a_kill(programs: LibraryPrograms) -> None:
    programs.script(PAY)
    turn = 'pay = tool(idempotent=True)(pay)\npaying = session("my-id", pay)\n'
    turn += 'say(paying.chat("Pay 3", idempotency_key="k"))\n'
    await programs.run(PAYING + turn, code=-signal.SIGKILL)
    out = await programs.run(PAYING + turn + EVENTS)
    answer, events = out.splitlines()
    assert answer == "Paid."
    assert (programs.folder / "paid").read_text() == "3\n3\n"
    assert [event for event in json.loads(events) if event.get("observation") == "error"] == []


async def test_an_interrupt_stops_the_turn_and_the_session_goes_on(programs: LibraryPrograms) -> None:
    programs.script(SLOW)
    process = await programs.start("""
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
mine = session()
pieces = mine.stream("Tell")
try:
    for piece in pieces:
        if piece.kind == "reply":
            say("telling")
except KeyboardInterrupt:
    pieces.close()
    ends = [event["extras"]["stop_reason"] for event in mine.events() if event.get("observation") == "turn_ended"]
    say(ends)
say(mine.chat("And now?"))
""")
    assert await line_of(process) == "telling"
    process.send_signal(signal.SIGINT)
    assert await line_of(process) == "['stopped']"
    assert await line_of(process) == "Quick."
    assert await process.wait() == 0


async def test_a_program_that_ends_without_closing_lets_the_next_one_go_on_at_once(programs: LibraryPrograms) -> None:
    programs.script("replies:\n  - steps: [{say: One.}]\n  - steps: [{say: Two.}]\n")
    assert await programs.run('say(session(concurrency="reject").chat("a"))') == "One.\n"
    assert await programs.run('say(session(concurrency="reject").chat("b"))') == "Two.\n"


async def test_a_second_process_waits_for_the_session_or_is_refused(programs: LibraryPrograms) -> None:
    programs.script("replies:\n  - steps: [{say: One.}]\n  - steps: [{say: Two.}]\n")
    held = await programs.start("""
mine = session()
say(mine.chat("a"))
for event in mine.tail():
    pass
""")
    try:
        assert await line_of(held) == "One."
        refused = await programs.run("""
try:
    session(concurrency="reject").chat("b")
except SessionBusy as error:
    say(error)
""")
        assert "another process has this session open" in refused
        waiting = await programs.start('say("begun")\nsay(session().chat("b"))\nsay(len(session().get_history()))')
        assert await line_of(waiting) == "begun"
    finally:
        await killed(held)
    assert await line_of(waiting) == "Two."
    assert await line_of(waiting) == "4"
    assert await waiting.wait() == 0


async def test_a_forked_child_has_a_loop_and_connections_of_its_own(programs: LibraryPrograms) -> None:
    programs.script("replies:\n  - steps: [{say: One.}]\n  - steps: [{say: Two.}]\n")
    out = await programs.run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
mine = session()
say(mine.chat("a"))
child = os.fork()
if child == 0:
    say("child " + session("other").chat("a"))
    sys.exit(0)
_, status = os.waitpid(child, 0)
say("parent " + mine.chat("b"))
say(os.waitstatus_to_exitcode(status))
""")
    assert out.splitlines() == ["One.", "child One.", "parent Two.", "0"]


async def test_sync_calls_work_on_the_loop_of_ipython(programs: LibraryPrograms) -> None:
    out = await programs.run("""
from IPython.core.interactiveshell import InteractiveShell
from openhands_sessions.core.errors import BlockingCall

async def cell():
    try:
        session().get_history()
    except BlockingCall:
        say("refused")
    InteractiveShell.instance()
    say(session().get_history())

asyncio.run(cell())
""")
    assert out.splitlines() == ["refused", "[]"]


async def test_a_server_on_the_same_data_folder_shows_a_programs_conversation_and_never_runs_it(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    async with asyncio.timeout(LONG):
        programs = LibraryPrograms(folder=tmp_path, data_dir=server.data_dir)
        programs.script(SLOW)
        process = await programs.start("""
for piece in session().stream("Tell"):
    if piece.kind == "reply":
        say("telling")
""")
        assert await line_of(process) == "telling"
        status, found = await clients.rest.ask("GET", "/api/conversations")
        assert [(each["conversation_id"], each["trigger"]) for each in found["results"]] == [("my-id", "program")]
        _, events = await clients.rest.ask("GET", "/api/conversations/my-id/events?limit=100")
        said = [event["args"]["content"] for event in events["events"] if event.get("action") == "message"]
        assert said == ["Tell"]
        message = {"message": "Stop that"}
        status, told = await clients.rest.ask("POST", "/api/conversations/my-id/message", message)
        assert (status, told["code"]) == (409, "not_accepting"), told
        await killed(process)
        await server.killed()
        await server.start()
        _, after = await clients.rest.ask("GET", "/api/conversations/my-id/events?limit=100")
        assert after["events"] == events["events"]
        programs.script("replies:\n  - steps: [{say: Told.}]\n  - steps: [{say: Quick.}]\n")
        history = 'say([message["content"] for message in mine.get_history()])'
        answer = await programs.run(f'mine = session()\nsay(mine.chat("On"))\n{history}')
        assert answer.splitlines() == ["Quick.", "['Tell', 'Told.', 'On', 'Quick.']"]


async def test_who_follows_a_programs_conversation_on_a_server_sees_its_events_as_they_come(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    async with asyncio.timeout(LONG):
        programs = LibraryPrograms(folder=tmp_path, data_dir=server.data_dir)
        programs.script("replies:\n  - steps: [{say: One.}]\n  - steps: [{say: Two.}]\n")
        process = await programs.start("""
mine = session()
say(mine.chat("a"))
sys.stdin.readline()
say(mine.chat("b"))
""")
        try:
            assert await line_of(process) == "One."
            follower = EventStreamClient(clients.rest.http, server.url, "my-id")
            following = asyncio.create_task(follower.until(lambda frame: "Two." in json.dumps(frame.data)))
            await follower.connected.wait()
            assert process.stdin is not None
            process.stdin.write(b"\n")
            assert await line_of(process) == "Two."
            await following
        finally:
            await killed(process)
        assert [event["id"] for event in follower.events] == list(range(len(follower.events)))


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03])
async def test_a_fork_that_a_kill_cuts_off_is_there_as_a_whole_or_not_at_all(
    programs: LibraryPrograms, moment: float
) -> None:
    programs.script("replies:\n  - steps: [{say: Quick.}]\n")
    process = await programs.start("""
mine = session()
for number in range(20):
    mine.chat("say something")
say("begun")
for number in range(10_000):
    mine.fork(f"fork-{number}")
    say(number)
""")
    assert await line_of(process) == "begun"
    assert await line_of(process) == "0"
    await asyncio.sleep(moment)  # the kill hits any place of the next forks
    await killed(process)
    out = await programs.run("""
import sqlite3
rows = sqlite3.connect(os.environ["STORE"].removeprefix("sqlite:///")).execute(
    "SELECT id FROM conversations WHERE forked_from IS NOT NULL").fetchall()
counts = {len(session(name).events()) for name, in rows}
newest = session(rows[-1][0])
lengths = [len(newest.get_history())]
newest.chat("and now")
say([len(rows) > 0, len(counts), *lengths, len(newest.get_history())])
""")
    assert out == "[True, 1, 40, 42]\n"
