"""Which images are taken from a client."""

import base64

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.protocol.commands import command_of


def sent(url: str) -> None:
    command_of({"action": "message", "args": {"content": "look", "image_urls": [url]}})


def data(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "HTTP://example.org/a",
        data(b"\x89PNG\r\n\x1a\n" + b"x" * 100),
        data(b"\xff\xd8\xff\xe0" + b"x" * 100, "image/jpeg"),
        data(b"GIF89a", "image/gif"),
        data(b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        data(b"\xff\xd8\xff\xe0", "image/png"),
    ],
)
def test_a_picture_and_an_address_are_taken(url: str) -> None:
    sent(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "http or https"),
        ("", "http or https"),
        ("file:///etc/passwd", "http or https"),
        ("javascript:alert(1)", "http or https"),
        ("ftp://example.org/a.png", "http or https"),
        ("https://", "http or https"),
        ("http://[", "must be a URL"),
        ("data:text/html,<b>", "in base64"),
        ("data:image/png,abc", "in base64"),
        ("data:image/png;base64,", "is none"),
        ("data:image/png;base64,n!", "no base64"),
        ("data:image/png;base64,iVBORw0KGgo", "no base64"),
        (data(b"<html>no picture</html>"), "is none"),
        (data(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "is none"),
        (data(b"\x89PNG"), "is none"),
    ],
)
def test_what_no_provider_can_read_is_refused_at_the_door(url: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as refused:
        sent(url)
    assert refused.value.field == "args.image_urls.0"
