"""Lines of MCP servers: messages, noise, and answers that cannot be read but still name their call."""

import pytest
from mcp import types

from openhands_sessions.adapters.mcp.answers import TOO_LONG, UNREADABLE, read_message
from openhands_sessions.ports.programs import CutLine


@pytest.mark.parametrize(
    "noise",
    [
        "",
        "listening on 8080",
        "{",
        "[1, 2]",
        '"jsonrpc"',
        '{"id": 3, "level": "info"}',
        '{"jsonrpc": "2.0"}',
        '{"jsonrpc": "2.0", "method": "x", "id": 3, "params": 7}',
        '{"jsonrpc": "2.0", "id": null, "result": 7}',
        '{"id": 3, "text": "\\"jsonrpc\\": \\"2.0\\""',
        CutLine("x" * 512, "y" * 512),
        CutLine('{"jsonrpc": "2.0", "method": "notifications/message", "params": {', '"id": 3, "jsonrpc": "2.0"}}'),
        CutLine('{"result": {"text": "', ', "jsonrpc": "2.0", "id": 3}}'),
    ],
)
def test_what_answers_no_call_is_passed_over(noise: str | CutLine) -> None:
    assert read_message(noise) is None


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ('{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"te', 3, UNREADABLE),
        ('{"id":"a","jsonrpc":"2.0","result":{"content":tru}}', "a", UNREADABLE),
        ('{"jsonrpc":"2.0","id":3}', 3, UNREADABLE),
        ('{"jsonrpc":"2.0","id":3,"result":"text"}', 3, UNREADABLE),
        ('{"result":{"content":[}]},"jsonrpc":"2.0","id":3}\r', 3, UNREADABLE),
        (CutLine('{"jsonrpc":"2.0","id":3,"result":{"content":[{"te', 'xxx"}]}}'), 3, TOO_LONG),
        (CutLine('{ "id" : 3 , "jsonrpc" : "2.0" , "result" : {', 'xxx"}]}}'), 3, TOO_LONG),
        (CutLine('{"result":{"content":[{"te', 'xxx"}]},"jsonrpc":"2.0","id":3}\r'), 3, TOO_LONG),
        (CutLine('{"result":{"content":[{"te', 'xxx"}]}, "id": "a", "jsonrpc": "2.0" } '), "a", TOO_LONG),
        (CutLine('{"jsonrpc":"2.0","error":{"message":"xx', 'xxx"},"id":3}'), None, None),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_fault_of_its_call(
    text: str | CutLine, number: object, words: str | None
) -> None:
    message = read_message(text)
    if number is None:
        assert message is None
    else:
        assert isinstance(message, types.JSONRPCError)
        assert (message.id, message.error.message) == (number, words)


def test_halves_of_characters_are_read() -> None:
    message = read_message('{"jsonrpc":"2.0","id":3,"result":{"text":"\\ud83d\\ude00 \\ud83d"}}')
    assert isinstance(message, types.JSONRPCResponse)
    assert message.result == {"text": "\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"}
