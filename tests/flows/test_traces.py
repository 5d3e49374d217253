"""Traces: a span for each turn, model call and action, sent to a collector by OTLP over HTTP."""

import sys
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.config.config import Config, LlmSection
from openhands_sessions.config.telemetry_section import TelemetrySection
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.model_replies import Call, Fault, FaultKind, Reply, Tokens
from tests.support.model_server import ModelServer, model_server
from tests.support.ports import free_port
from tests.support.running_server import discard_sandboxes, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client
from tests.support.trace_collector import TraceCollector, trace_collector

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
SECRET = "hunter2-of-the-operator"
LIST = Reply(text="Let me look.", calls=[Call(name="execute_bash", arguments={"command": "ls -la /tmp"})])
TURN = ["chat", "execute_tool", "chat", "invoke_agent"]


def config(folder: Path, model: ModelServer, collector: str, **telemetry: object) -> Config:
    return Config(
        data_dir=folder,
        llm=LlmSection(model="openai/own", base_url=model.url, api_key=SECRET, retries=0),
        telemetry=TelemetrySection.model_validate({"traces_endpoint": collector, **telemetry}),
    )


@pytest.fixture
async def collector(data_dir: Path) -> AsyncIterator[TraceCollector]:
    async with trace_collector() as running:
        yield running
    await discard_sandboxes(data_dir)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    replies = [LIST, Reply(text="All is well.", usage=Tokens(prompt=7, completion=3))]
    async with model_server([*replies, *replies]) as running:
        yield running


async def take_a_turn(server: InProcessServer, traceparent: str | None = None) -> str:
    """A conversation that begins with a message, up to the end of the turn."""
    headers = {} if traceparent is None else {"traceparent": traceparent}
    body = {"initial_user_msg": "look around"}
    async with aiohttp.ClientSession() as http, Clients(server.url) as clients:
        async with http.post(f"{server.url}/api/conversations", json=body, headers=headers) as answer:
            sid: str = (await answer.json())["conversation_id"]
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input", "error")
    return sid


async def test_a_turn_its_model_calls_and_its_actions_are_spans_below_the_request_that_caused_it(
    data_dir: Path, model: ModelServer, collector: TraceCollector
) -> None:
    async with in_process_server(config(data_dir, model, collector.url, traces_key="of the collector")) as server:
        sid = await take_a_turn(server, ASKED)
    assert {header["Authorization"] for header in collector.headers} == {"Bearer of the collector"}
    assert [span.name for span in collector.spans if span.about.get("model_call.purpose") != "title"] == TURN
    (turn,) = collector.named("invoke_agent")
    assert (turn.trace, turn.parent) == (TRACE, PARENT)
    assert turn.about["turn.outcome"] == "awaiting_user_input"
    below = [span for span in collector.spans if span.parent == turn.id]
    assert [span.name for span in below] == TURN[:-1]
    assert {span.trace for span in below} == {TRACE}
    assert {span.about["gen_ai.conversation.id"] for span in collector.spans} == {sid}
    _, action, call = below
    assert action.about["gen_ai.tool.name"] == "run"
    assert (action.about["action.outcome"], action.about["process.exit.code"]) == ("done", 0)
    assert (call.about["gen_ai.usage.input_tokens"], call.about["gen_ai.usage.output_tokens"]) == (7, 3)
    assert (call.about["gen_ai.request.model"], call.about["model_call.outcome"]) == ("openai/own", "answered")
    assert not any(span.failed for span in collector.spans)


async def test_a_message_over_a_socket_is_traced_below_its_connection(
    data_dir: Path, model: ModelServer, collector: TraceCollector
) -> None:
    async with in_process_server(config(data_dir, model, collector.url)) as server:
        sid = await take_a_turn(server)
        async with aiohttp.ClientSession(headers={"traceparent": ASKED}) as http:
            client = Protocol2Client(http, server.url, sid)
            await client.connect()
            await client.until_state("awaiting_user_input")
            said = await client.say("again")
            await client.until_state("awaiting_user_input", after=said)
            await client.leave()
    first, second = collector.named("invoke_agent")
    assert (first.parent, first.trace != TRACE) == ("", True)
    assert (second.parent, second.trace, second.about["turn.id"]) == (PARENT, TRACE, said)


async def test_no_secret_text_or_path_is_told(data_dir: Path, model: ModelServer, collector: TraceCollector) -> None:
    async with in_process_server(config(data_dir, model, collector.url)) as server:
        await take_a_turn(server, ASKED)
    sent = b"".join(collector.bodies)
    assert b"openai/own" in sent
    for text in (SECRET, "look around", "Let me look", "ls -la", "All is well", str(data_dir), model.url):
        assert text.encode() not in sent


async def test_a_model_call_that_fails_says_so_and_ends_its_turn(data_dir: Path, collector: TraceCollector) -> None:
    refusal = Fault(kind=FaultKind.UNAUTHORIZED, message="not for you")
    async with (
        model_server(lambda request: refusal) as model,
        in_process_server(config(data_dir, model, collector.url)) as server,
    ):
        await take_a_turn(server)
    call = next(span for span in collector.named("chat") if span.about["model_call.purpose"] == "main")
    assert (call.failed, call.about["error.type"], call.about["model_call.outcome"]) == (True, "ModelFailure", "failed")
    (turn,) = collector.named("invoke_agent")
    assert turn.about["turn.outcome"] == "error"
    assert b"not for you" not in b"".join(collector.bodies)


async def test_a_caller_decides_whether_its_turn_is_traced(
    data_dir: Path, model: ModelServer, collector: TraceCollector
) -> None:
    async with in_process_server(config(data_dir, model, collector.url)) as server:
        await take_a_turn(server, UNSAMPLED)
    assert collector.named("invoke_agent") == []


@pytest.mark.parametrize("given", ["", "garbage", ASKED + "-more", f"00-{'0' * 32}-{PARENT}-01", ASKED.upper()])
async def test_what_is_no_trace_counts_as_none(
    data_dir: Path, model: ModelServer, collector: TraceCollector, given: str
) -> None:
    async with in_process_server(config(data_dir, model, collector.url)) as server:
        await take_a_turn(server, given)
    (turn,) = collector.named("invoke_agent")
    assert turn.parent == ""


@pytest.mark.slow
async def test_a_dead_collector_costs_one_line_of_the_log_and_no_turn(data_dir: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/traces"
    async with (
        running_server(data_dir, {"OHS_TELEMETRY__TRACES_ENDPOINT": nobody}) as server,
        Clients(server.url) as clients,
    ):
        for _ in range(3):
            client = clients.protocol2(await clients.rest.create("echo hello"))
            await client.connect()
            await client.until_state("awaiting_user_input")
        await server.logged("traces are not delivered", 1)
        assert await server.stopped() == 0
        assert server.log.count("traces are not delivered") == 1
        assert "opentelemetry" not in server.log


@pytest.mark.slow
async def test_a_collector_that_comes_back_gets_the_spans_of_then(data_dir: Path, collector: TraceCollector) -> None:
    collector.status = 400
    async with (
        running_server(data_dir, {"OHS_TELEMETRY__TRACES_ENDPOINT": collector.url}) as server,
        Clients(server.url) as clients,
    ):
        await clients.until_ready(await clients.rest.create("echo one"))
        await server.logged("traces are not delivered", 1)
        collector.status = 200
        last = await clients.rest.create("echo two")
        await collector.until(lambda spans: any(span.about["gen_ai.conversation.id"] == last for span in spans))
        await server.logged("traces are delivered again", 1)


LOADED = """
import asyncio, sys
from pathlib import Path
from openhands_sessions.bootstrap.application import open_application
from openhands_sessions.bootstrap.web import web_application
from openhands_sessions.config.config import Config
from openhands_sessions.config.telemetry_section import TelemetrySection
async def main(folder, endpoint):
    if endpoint:
        sys.modules["opentelemetry"] = None
    telemetry = TelemetrySection(traces_endpoint=endpoint or None)
    async with open_application(Config(data_dir=Path(folder), telemetry=telemetry)) as application:
        await web_application(application)
    print([name for name in sys.modules if name.startswith("opentelemetry")])
asyncio.run(main(*sys.argv[1:]))
"""


async def run(data_dir: Path, endpoint: str) -> tuple[str, str]:
    program = (sys.executable, "-c", LOADED, str(data_dir), endpoint)
    process = await create_subprocess_exec(*program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, error = await process.communicate()
    return out.decode(), error.decode()


@pytest.mark.slow
async def test_nothing_is_loaded_where_nothing_is_traced(data_dir: Path) -> None:
    out, error = await run(data_dir, "")
    assert out.strip() == "[]", error


@pytest.mark.slow
async def test_a_missing_extra_is_named(data_dir: Path) -> None:
    _, error = await run(data_dir, "http://127.0.0.1:4318/v1/traces")
    assert "pip install openhands-sessions[otel]" in error
