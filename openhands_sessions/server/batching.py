"""What of the news a client is sent, and in which packets. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engineio.packet import Packet

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.own import OWN_ACTIONS, OWN_OBSERVATIONS
from openhands_sessions.core.fold import MOVE
from openhands_sessions.core.lineage import Chain, on_chain
from openhands_sessions.server.packets import LARGEST_SHARED, array_packet, event_packet, shared_packet

SINGLES = 16
"""Events that go as one packet each between two pauses for others."""
ARRAY = 100
"""Events of one `oh_events` frame at most."""
ARRAY_CHARACTERS = 256 * 1024
FEW = 4
"""So many events go singly even to a client that takes arrays."""
SPARED = (
    {"action:null", "observation:null", "action:recall"}
    | {f"action:{kind}" for kind in OWN_ACTIONS}
    | {f"observation:{kind}" for kind in OWN_OBSERVATIONS}
)
"""Kinds that the V0 client is not sent."""
BY_PERSONS = ("action:message", "action:change_agent_state")
AUTHOR = re.compile(r',"author":"(?:[^"\\]|\\.)*"}$')
ORIGIN = re.compile(r',"origin":"[A-Za-z0-9_-]+#[0-9]+"}$')
LONGEST_ORIGIN = 128
"""Characters at a text's end that may name where a copy comes from."""
TURN = re.compile(r',"turn":[0-9]+}$')
AGENT = re.compile(r',"agent_name":"[^"\\]*"}$')
LONGEST_AGENT = 128
"""Characters at a text's end that may name the agent."""
LONGEST_TURN = 32
"""Characters at a text's end that may name the turn."""
STATE_CHANGED = "observation:agent_state_changed"


def for_v0(entries: Sequence[Stored], *, head: int, last_state: int, chain: Chain | None = None) -> Sequence[Stored]:
    """What the V0 client is sent: up to `head`, the head at connect, what lies on the chain, and only the newest of the
    states. It knows of no origins, no authors and no turns, and of one agent."""
    return [
        _without_own_keys(entry)
        for entry in entries
        if entry.kind not in SPARED
        and (chain is None or entry.id > head or on_chain(chain, entry.id))
        and not (entry.kind == STATE_CHANGED and entry.id <= head and entry.id != last_state)
    ]


def move_beyond(entries: Sequence[Stored], head: int) -> bool:
    """Whether the dialogue moves after the event `head`."""
    return any(entry.kind == MOVE and entry.id > head for entry in entries)


def _without_own_keys(entry: Stored) -> Stored:
    """The turn is the last key of a text; before it come the author, whom only what a person caused has, the agent,
    where there are several, and the origin of a copy."""
    text = entry.text
    if named := TURN.search(text, max(0, len(text) - LONGEST_TURN)):
        text = f"{text[: named.start()]}}}"
    if entry.kind in BY_PERSONS:
        text = AUTHOR.sub("}", text)
    if named := AGENT.search(text, max(0, len(text) - LONGEST_AGENT)):
        text = f"{text[: named.start()]}}}"
    if named := ORIGIN.search(text, max(0, len(text) - LONGEST_ORIGIN)):
        text = f"{text[: named.start()]}}}"
    return entry if text is entry.text else replace(entry, text=text)


def singles(entries: Sequence[Stored]) -> Iterator[Sequence[Packet]]:
    """One packet per event, in groups between which others are let in."""
    for place in range(0, len(entries), SINGLES):
        yield [_packet(entry.text) for entry in entries[place : place + SINGLES]]


def _packet(text: str) -> Packet:
    return shared_packet(text) if len(text) <= LARGEST_SHARED else event_packet("oh_event", text)


def arrays(entries: Sequence[Stored]) -> Iterator[Sequence[Packet]]:
    """`oh_events` frames of bounded size; a few events go singly."""
    if len(entries) <= FEW:
        yield from singles(entries)
        return
    group: list[Stored] = []
    characters = 0
    for entry in entries:
        group.append(entry)
        characters += len(entry.text)
        if len(group) == ARRAY or characters >= ARRAY_CHARACTERS:
            yield [array_packet("oh_events", group)]
            group, characters = [], 0
    if group:
        yield [array_packet("oh_events", group)]
