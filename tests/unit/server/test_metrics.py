"""What Prometheus is told, read with Prometheus's own parser."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from time import perf_counter

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from openhands_sessions.core.measurements import LAG_BOUNDS, Histogram
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.server.loop_lag import LoopLag
from openhands_sessions.server.metrics import PREFIX, take, write
from tests.fakes.memory_store import MemoryStore, open_memory
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.model_replies import called
from tests.support.service_layer import ServiceLayer, running_service
from tests.support.session_harness import state

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "configs" / "grafana-dashboard.json"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with open_memory() as opened:
        yield opened


def told(service: ServiceLayer) -> Mapping[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    text, media = write(take(service.sessions, "1.2.3"), "")
    assert media.startswith("text/plain")
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for each in families
        for sample in each.samples
    }


async def test_sessions_turns_and_appends_are_told(store: SessionStore) -> None:
    models = FakeModels(FakeModel([FakeReply(text="Done.")]))
    async with running_service(ServiceLayer(store=store, models=models)) as service:
        session = await service.open(initial_message="hi", settings={"llm_model": "fake"})
        await state(session, "awaiting_user_input")
        await service.open("other")
        found = told(service)
        assert found[f"{PREFIX}sessions", "ready"] == 2
        assert found[f"{PREFIX}sessions", "running"] == 0
        assert found[f"{PREFIX}turns_total", "waiting"] == 1
        assert found[f"{PREFIX}build_info", "1.2.3"] == 1
        events = session.event_stream.view.head + 1
        assert found[f"{PREFIX}events_total",] > events
        assert 0 < found[f"{PREFIX}append_seconds_count",] <= found[f"{PREFIX}events_total",]
        assert found[f"{PREFIX}append_seconds_bucket", "+Inf"] == found[f"{PREFIX}append_seconds_count",]
        assert found["process_cpu_seconds_total",] > 0


async def test_a_server_that_drains_does_not_accept(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        assert told(service)[f"{PREFIX}accepting",] == 1
        service.directory.draining = True
        assert told(service)[f"{PREFIX}accepting",] == 0


async def test_models_are_told_by_name_whatever_it_holds(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        odd = 'a"b\\c\nd{}'
        for _ in range(2):
            service.parts.measurements.models.add(called(odd))
        found = told(service)
        assert found[f"{PREFIX}model_calls_total", odd, "answered"] == 2
        assert found[f"{PREFIX}model_tokens_total", "prompt", odd] == 14
        assert found[f"{PREFIX}model_cost_dollars_total", odd] == 0.5


async def test_the_newer_form_is_given_to_who_asks_for_it(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        text, media = write(take(service.sessions, "1.2.3"), OPENMETRICS)
        assert media.startswith("application/openmetrics-text")
        families = openmetrics.text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]  # no types
        assert [*families]


async def test_no_label_names_a_conversation_or_a_user(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open("a-conversation")
        text, _ = write(take(service.sessions, "1.2.3"), "")
        labels = {label for line in text.decode().splitlines() for label in re.findall(r'(\w+)="', line)}
        assert labels == {"version", "state", "le"}
        assert b"a-conversation" not in text


async def test_a_loop_that_is_held_is_seen_to_be_late() -> None:
    lags = Histogram(LAG_BOUNDS)
    lag = LoopLag(lags, interval=0.001)
    lag.begin()
    held_until = perf_counter() + 0.05
    while perf_counter() < held_until:
        pass
    await asyncio.sleep(0.001)  # a later timer than the one that is late
    lag.end()
    assert lags.sum > 0.04


async def test_the_dashboard_asks_for_metrics_that_there_are(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        service.parts.measurements.models.add(called("m"))
        service.parts.measurements.turns["done"] = 1
        service.parts.measurements.trajectories["saved"] = 1
        names = {name for name, *_ in told(service)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(rf"{PREFIX}\w+|process_\w+", query)}
    assert len(panels) >= 12
    assert asked - names == set()
    ours = {name for name in names if name.startswith(PREFIX) and not name.endswith(("_count", "_sum", "_created"))}
    assert ours - asked == set(), "the dashboard leaves out what is measured"
