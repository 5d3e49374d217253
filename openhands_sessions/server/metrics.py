"""What is measured, in Prometheus's form."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.measurements import Histogram, Measurements, ModelUse
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.operations import Operations, SessionFigures

PREFIX = "openhands_sessions_"


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Taken(Collector):
    """What was measured at one moment. What is counted may go on to count while it is collected in a thread."""

    version: str
    accepting: bool
    storage_works: bool
    figures: SessionFigures
    counted: Measurements

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "The version that runs.", {"version": self.version})
        yield _gauge("accepting", "1 while new work is taken.", self.accepting)
        yield _gauge("storage_works", "1 while events can be stored.", self.storage_works)
        yield from _sessions(self.figures)
        yield from _log(self.counted)
        yield from _models(dict(self.counted.models.by_name))
        lag = self.counted.loop_lag
        yield _histogram("loop_lag_seconds", "By how much the event loop was late for a timer.", lag)


def take(operations: Operations, version: str) -> Taken:
    """Measure now. Call it on the event loop: sessions change there."""
    return Taken(
        version=version,
        accepting=operations.accepting and not operations.draining,
        storage_works=operations.problem is None,
        figures=operations.figures(),
        counted=operations.measurements,
    )


def write(taken: Taken, accepted: str) -> tuple[bytes, str]:
    """The text and its media type, as the `Accept` header asks. Reads files of /proc: call it in a thread."""
    encode, media = choose_encoder(accepted)
    registry = CollectorRegistry()
    registry.register(taken)
    ProcessCollector(registry=registry)
    return encode(registry), media


def _sessions(figures: SessionFigures) -> Iterator[Metric]:
    states = {state.value.lower(): figures.states.get(state, 0) for state in SessionState}
    yield _labelled(GaugeMetricFamily, "sessions", "Live sessions.", "state", states)
    yield _gauge("followers", "Clients that follow conversations.", figures.followers)
    yield _gauge("waiting_commands", "Commands that sessions have not taken yet.", figures.waiting_commands)
    yield _gauge("queued_messages", "Messages that wait for a turn of their own.", figures.queued_messages)
    yield _gauge("awaited_answers", "Live conversations whose calls await an answer.", figures.awaited_answers)
    yield _counter("sandboxes_started", "Sandboxes that were started.", figures.sandboxes.made)
    yield _counter("sandboxes_removed", "Sandboxes that were removed.", figures.sandboxes.removed)


def _log(counted: Measurements) -> Iterator[Metric]:
    yield _labelled(CounterMetricFamily, "turns", "Turns that have ended.", "reason", dict(counted.turns))
    yield _labelled(
        CounterMetricFamily,
        "trajectories",
        "Trajectories saved elsewhere, and tries that failed.",
        "outcome",
        dict(counted.trajectories),
    )
    yield _counter("events", "Events that were stored.", counted.events)
    yield _histogram("append_seconds", "From an append's call until it is durable.", counted.appends)
    yield _counter("append_failures", "Appends that were not stored.", counted.failed_appends)
    yield _counter("deltas_dropped", "Deltas and statuses that a slow follower has missed.", counted.transients_lost)


def _models(uses: Mapping[str, ModelUse]) -> Iterator[Metric]:
    calls = CounterMetricFamily(f"{PREFIX}model_calls", "Calls of models.", labels=["model", "outcome"])
    tokens = CounterMetricFamily(f"{PREFIX}model_tokens", "Tokens of models' replies.", labels=["model", "kind"])
    for model, use in uses.items():
        for outcome, count in dict(use.calls).items():
            calls.add_metric([model, outcome], count)
        for kind, count in dict(use.tokens).items():
            tokens.add_metric([model, kind], count)
    costs = {model: dollars(use.micro_dollars) for model, use in uses.items()}
    seconds = {model: use.seconds for model, use in uses.items()}
    yield calls
    yield tokens
    yield _labelled(CounterMetricFamily, "model_cost_dollars", "US dollars, where prices are known.", "model", costs)
    yield _labelled(CounterMetricFamily, "model_call_seconds", "Seconds of calls that were answered.", "model", seconds)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, about, float(value))


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, about, value)


def _labelled(
    kind: Callable[..., CounterMetricFamily | GaugeMetricFamily],
    name: str,
    about: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(PREFIX + name, about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    bounds: Iterable[str] = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate([*histogram.counts]), strict=True))
    return HistogramMetricFamily(PREFIX + name, about, buckets, histogram.sum)
