"""The Hugging Face dataset that trajectories go to."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # it is public by its docs

from openhands_sessions.core.errors import BadInput

DATASETS = "hf://datasets/"


class PrivateDataset:
    """Makes the dataset of an address, for its owner alone, where it is not there. One that is there stays as it is."""

    def __init__(self, address: str, options: Mapping[str, Any]) -> None:
        """`address` is `hf://datasets/owner/name`, perhaps with `@revision` and a folder. Raises BadInput for an
        address of something else."""
        owner, _, rest = address.removeprefix(DATASETS).partition("/")
        name = rest.partition("/")[0].partition("@")[0]
        if not address.startswith(DATASETS) or not owner or not name:
            raise BadInput("trajectories.save_to", "must be hf://datasets/owner/name to save to Hugging Face")
        self._name = f"{owner}/{name}"
        self._api = HfApi(endpoint=options.get("endpoint"), token=options.get("token"))
        disable_progress_bars()

    def make(self) -> None:
        """Blocks. Raises the errors of huggingface_hub."""
        self._api.create_repo(self._name, repo_type="dataset", private=True, exist_ok=True)
