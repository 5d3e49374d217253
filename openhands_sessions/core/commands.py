"""What a client may ask of a session."""

from dataclasses import dataclass

from openhands_sessions.core.ids import EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class SendMessage:
    """Say something to the agent. While an action awaits an answer it counts as a refusal, and this as the reason."""

    content: str
    image_urls: tuple[str, ...] = ()
    file_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """End the turn, the running command and the model call."""


@dataclass(frozen=True, slots=True)
class Pause:
    """As Stop, shown as paused."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where a stop or pause left off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Confirm or reject the action that awaits it; `action` guards against answering another one."""

    confirmed: bool
    action: EventId | None = None


Command = SendMessage | Stop | Pause | Resume | Answer
