"""Sessions of the same layers have one object of settings."""

import gc
from weakref import ref

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.service.shared_settings import SharedSettings


def layers(timeout: float | None = None) -> LayeredSettings:
    return LayeredSettings([{"llm_model": "m/1"}], [{"agent": "shell", "llm_timeout": timeout}])


def test_the_same_layers_give_the_same_object() -> None:
    shared = SharedSettings()
    assert shared.of(layers())(None) is shared.of(layers())(None)


def test_another_model_gives_other_settings() -> None:
    settings = SharedSettings().of(layers())
    assert settings("m/2").llm_model == "m/2"
    assert settings(None).llm_model == "m/1"


def test_a_wrong_value_is_refused_beside_settings_that_look_alike_in_json() -> None:
    shared = SharedSettings()
    kept = shared.of(layers())(None)
    with pytest.raises(BadInput):
        shared.of(layers(float("nan")))(None)
    assert kept.llm_timeout == 600


def test_what_no_session_has_is_forgotten() -> None:
    settings = SharedSettings().of(layers())
    made = ref(settings(None))
    gc.collect()
    assert made() is None
