"""The scripted model."""

import json
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.models.scripted import ScriptedModel, ScriptedModels
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.model import ModelReply, ModelRequest, ModelSpec, Retry

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "scripts"
WORK = """
name: work
replies:
  - steps:
      - {say: Looking., call: ls, with: {path: "{{n}}"}, repeat: 3}
      - calls: [{call: cat, with: {path: a}}, {call: cat, with: "{broken"}]
      - say: Done.
  - when: fail
    steps: [{fail: {status: 429}}]
  - when: policy
    steps: [{fail: STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION}]
  - when: slow
    steps: [{say: "abcdef", piece: 2, delay: 0.5, retries: 1}]
"""


class Naps:
    """A sleep that takes no time."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


async def opened(folder: Path, naps: Naps | None = None) -> ScriptedModel:
    (folder / "work.yaml").write_text(WORK, encoding="utf-8")
    return await ScriptedModels(folder, sleep=naps or Naps()).open(ModelSpec(name="scripted:work"))


async def ask(model: ScriptedModel, messages: list[dict[str, Json]], retries: list[Retry] | None = None) -> ModelReply:
    return await model.complete(
        ModelRequest(messages=messages), lambda piece: None, (retries if retries is not None else []).append
    )


def answered(reply: ModelReply) -> list[dict[str, Json]]:
    """The messages that a reply and its results become."""
    calls: list[Any] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.calls
    ]
    results: list[dict[str, Json]] = [
        {"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in reply.calls
    ]
    return [{"role": "assistant", "content": reply.text, "tool_calls": calls}, *results]


async def played(folder: Path, messages: list[dict[str, Json]]) -> list[ModelReply]:
    """The replies of a turn, each asked of a model that was opened anew."""
    replies: list[ModelReply] = []
    while not replies or replies[-1].calls:
        reply = await ask(await opened(folder), messages)
        replies.append(reply)
        messages = [*messages, *answered(reply)]
    return replies


async def test_a_turn_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    replies = await played(tmp_path, [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "work"}])
    assert [[call.arguments for call in reply.calls] for reply in replies] == [
        ['{"path": "1"}'],
        ['{"path": "2"}'],
        ['{"path": "3"}'],
        ['{"path": "a"}', "{broken"],
        [],
    ]
    assert replies[-1].text == "Done."


async def test_a_request_asked_twice_gets_the_same_step(tmp_path: Path) -> None:
    model = await opened(tmp_path)
    first, again = [await ask(model, [{"role": "user", "content": "work"}]) for _ in range(2)]
    assert [call.arguments for call in first.calls] == [call.arguments for call in again.calls]
    assert first.calls[0].id != again.calls[0].id


async def test_a_condensed_history_does_not_lead_astray(tmp_path: Path) -> None:
    model = await opened(tmp_path)
    messages: list[dict[str, Json]] = [{"role": "user", "content": "work"}]
    for _ in range(2):
        messages += answered(await ask(model, messages))
    condensed: list[dict[str, Json]] = [{"role": "user", "content": "Summary: slow work"}, *messages[-2:]]
    assert json.loads((await ask(model, condensed)).calls[0].arguments) == {"path": "3"}


async def test_a_new_message_begins_what_it_chooses(tmp_path: Path) -> None:
    model = await opened(tmp_path)
    messages: list[dict[str, Json]] = [{"role": "user", "content": "work"}]
    messages += answered(await ask(model, messages))
    messages.append({"role": "user", "content": [{"type": "text", "text": "slow, please"}]})
    assert (await ask(model, messages)).text == "abcdef"


async def test_behind_its_end_the_script_says_so(tmp_path: Path) -> None:
    model = await opened(tmp_path)
    turn: list[dict[str, Json]] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    reply = await ask(model, [*turn, {"role": "user", "content": "c"}])
    assert reply.text == "The script is over."
    assert not reply.calls


async def test_pieces_and_retries_take_the_time_that_the_script_says(tmp_path: Path) -> None:
    naps = Naps()
    retries: list[Retry] = []
    reply = await ask(await opened(tmp_path, naps), [{"role": "user", "content": "slow"}], retries)
    assert reply.text == "abcdef"
    assert naps.taken == [0.5] * 4
    assert [(retry.attempt, retry.wait) for retry in retries] == [(1, 0.5)]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("fail", "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"),
        ("policy", "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION"),
    ],
)
async def test_failures_are_played_by_status_and_by_id(tmp_path: Path, word: str, status: str) -> None:
    with pytest.raises(ModelFailure) as failed:
        await ask(await opened(tmp_path), [{"role": "user", "content": word}])
    assert failed.value.status == status


async def test_usage_is_estimated_and_free(tmp_path: Path) -> None:
    reply = await ask(await opened(tmp_path), [{"role": "user", "content": "slow" * 10}])
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cost) == (10, 2, 0)


async def test_a_call_has_a_limit_in_time(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("name: x\nreplies: [{steps: [{say: a, delay: 3600}]}]", encoding="utf-8")
    model = await ScriptedModels(tmp_path).open(ModelSpec(name="scripted:long", timeout=0.05))
    with pytest.raises(ModelFailure, match=r"no answer within 0\.05 seconds"):
        await ask(model, [{"role": "user", "content": "x"}])


@pytest.mark.parametrize("name", ["scripted:nothing", "scripted:../work", "scripted:/etc/passwd", "scripted:a.b"])
async def test_an_unknown_script_is_told_with_those_that_there_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "work.yaml").write_text(WORK, encoding="utf-8")
    with pytest.raises(ModelFailure, match=r"there are: demo, work") as failed:
        await ScriptedModels(tmp_path).open(ModelSpec(name=name))
    assert str(tmp_path) not in failed.value.message


async def test_an_unreadable_script_is_told_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFailure, match=r"binary\.yaml cannot be read"):
        await ScriptedModels(tmp_path).open(ModelSpec(name="scripted:binary"))
    (tmp_path / "big.yaml").write_text("#" * (1 << 20) + "\n", encoding="utf-8")
    with pytest.raises(ModelFailure, match=r"big\.yaml is larger"):
        await ScriptedModels(tmp_path).open(ModelSpec(name="scripted:big"))


async def test_the_first_use_makes_the_folder_with_an_example_to_copy(tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    await ScriptedModels(folder).open(ModelSpec(name="scripted"))
    example = folder / "example.yaml"
    await ScriptedModels(folder).open(ModelSpec(name="scripted:example"))
    example.unlink()
    await ScriptedModels(folder).open(ModelSpec(name="scripted"))
    assert not example.exists(), "a folder that is there belongs to its user"


async def test_the_demo_needs_no_folder() -> None:
    model = await ScriptedModels(sleep=Naps()).open(ModelSpec(name="scripted"))
    assert (await ask(model, [{"role": "user", "content": "hello"}])).text.startswith("Hello!")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
async def test_the_scripts_of_the_docs_can_be_played(path: Path) -> None:
    model = await ScriptedModels(path.parent, sleep=Naps()).open(ModelSpec(name=f"scripted:{path.stem}"))
    assert (await ask(model, [{"role": "user", "content": "go"}])).id
