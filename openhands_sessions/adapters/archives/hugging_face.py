"""The Hugging Face dataset that trajectories go to."""

from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import unquote

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
        name, _, revision = rest.partition("/")[0].partition("@")
        if not address.startswith(DATASETS) or not owner or not name:
            raise BadInput("trajectories.save_to", "must be hf://datasets/owner/name to save to Hugging Face")
        self._name, self._revision = f"{owner}/{name}", unquote(revision) or None
        self._api = HfApi(endpoint=options.get("endpoint"), token=options.get("token"))
        disable_progress_bars()

    def make(self) -> None:
        """Blocks. Raises the errors of huggingface_hub."""
        self._api.create_repo(self._name, repo_type="dataset", private=True, exist_ok=True)

    def put(self, file: IO[bytes], place: str) -> None:
        """Upload a file to `place`, an address below that of the dataset. Blocks. Raises the errors of
        huggingface_hub, whose file system would leave a copy of each refused file on the disk."""
        file.seek(0)
        path = place.removeprefix(DATASETS).split("/", 2)[2]
        self._api.upload_file(  # type: ignore[call-overload]  # a TemporaryFile is what it takes
            path_or_fileobj=file, path_in_repo=path, repo_id=self._name, repo_type="dataset", revision=self._revision
        )
