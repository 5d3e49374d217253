"""The table `[trajectories]`."""

import json
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from openhands_sessions.config.section import Section


def _options(text: SecretStr) -> SecretStr:
    """Raises ValueError for what is no JSON object."""
    if not isinstance(json.loads(text.get_secret_value()), dict):
        raise ValueError("not a JSON object")
    return text


class TrajectoriesSection(Section):
    save_to: str | None = Field(
        None,
        min_length=1,
        description="Where the trajectory of each conversation is saved when its session ends: a folder, or an address "
        "of fsspec, such as `s3://bucket/folder` or `hf://datasets/owner/name`, for which the extra `archive` is "
        "needed. A dataset that is not there is made, private. If not set, none is saved.",
    )
    options: Annotated[SecretStr, AfterValidator(_options)] | None = Field(
        None,
        description="What fsspec needs for that address, such as keys, as a JSON object: "
        '`{"key": "…", "secret": "…", "endpoint_url": "…"}`.',
    )
