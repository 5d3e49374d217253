"""Which events of a log a V0 client gets: the second rule of the wire, written independently of the server."""

from collections.abc import Sequence

from tests.support.event_summaries import Event, state_of

V0_ACTIONS = frozenset(
    {
        "message",
        "system",
        "run",
        "run_ipython",
        "read",
        "write",
        "edit",
        "browse",
        "browse_interactive",
        "call_tool_mcp",
        "think",
        "finish",
        "reject",
        "delegate",
        "change_agent_state",
        "condensation",
        "condensation_request",
        "task_tracking",
        "loop_recovery",
    }
)
"""Actions that the V0 client knows and is sent: all but `null` and `recall`."""
V0_OBSERVATIONS = frozenset(
    {
        "run",
        "run_ipython",
        "read",
        "write",
        "edit",
        "browse",
        "mcp",
        "think",
        "agent_state_changed",
        "user_rejected",
        "error",
        "recall",
        "task_tracking",
        "delegate",
        "success",
        "condense",
        "download",
        "loop_detection",
        "chat",
        "message",
    }
)
"""Observations that the V0 client knows and is sent: all but `null`."""


def known_to_v0(event: Event) -> bool:
    """Whether the V0 client is sent events of this kind at all."""
    return event.get("action") in V0_ACTIONS or event.get("observation") in V0_OBSERVATIONS


def events_for_v0(log: Sequence[Event], *, after: int, head: int) -> list[Event]:
    """What a client that connects with `after`, when the log ends at `head`, is sent from then on. Of
    the states up to `head` only the newest."""
    newest = max((event["id"] for event in log[: head + 1] if state_of(event)), default=-1)
    return [
        without_own_keys(event)
        for event in log
        if event["id"] > after
        and known_to_v0(event)
        and not (state_of(event) and event["id"] <= head and event["id"] != newest)
    ]


def without_own_keys(event: Event) -> Event:
    """The event as the V0 client gets it."""
    return {key: value for key, value in event.items() if key not in ("author", "turn")}


def explains(log: Sequence[Event], got: Sequence[int], *, after: int, heads: range) -> bool:
    """Whether these ids are the first that a client was sent, if it connected at one of these heads."""
    differing = [head for head in heads if head == heads.start or state_of(log[head])]
    return any(
        [event["id"] for event in events_for_v0(log, after=after, head=head)][: len(got)] == list(got)
        for head in differing
    )
