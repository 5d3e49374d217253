"""`doctor` opens the configured model as a conversation does."""

from pathlib import Path

import pytest

from openhands_sessions.cli.doctor import model
from openhands_sessions.config.config import Config


@pytest.mark.parametrize(
    ("name", "status", "advice"),
    [
        ("scripted", "ok", ""),
        ("scripted:nosuch", "fail", "there is no script 'nosuch'"),
        ("gpt-nonsense", "fail", "write it as provider/model, e.g. openai/gpt-nonsense."),
        ("opena/gpt-4o", "fail", "'opena' is no provider that litellm knows; did you mean 'openai'?"),
        (
            "openai/gpt-4o",
            "fail",
            "set llm.api_key (OHS_LLM__API_KEY), or give the server the variable OPENAI_API_KEY.",
        ),
    ],
)
def test_a_model_that_no_conversation_could_use_is_told(tmp_path: Path, name: str, status: str, advice: str) -> None:
    told = model(Config.model_validate({"data_dir": tmp_path, "llm": {"model": name}}))
    assert (told.status, told.found) == (status, name)
    assert advice in told.advice
    assert not told.advice.endswith("?.")
