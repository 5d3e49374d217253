"""`docs/tutorial/first-session.ipynb`: its cells, as they stand there, in a kernel of Jupyter."""

import asyncio
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.support.library_programs import LibraryPrograms

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial" / "first-session.ipynb"
SCRIPT = """\
replies:
  - when: approach A
    steps: [{say: A is bad.}]
  - when: approach B
    steps: [{say: B is good.}]
  - when: Judge the text
    steps: [{say: The Isar is missing.}]
  - when: about the Danube
    steps: [{say: The Danube is long.}]
  - when: Tell me more
    steps: [{say: More.}]
  - steps: [{say: Hello.}]
"""
SHOWN = [
    "'Hello.'",
    "{'topic': 'rivers', 'visits': 1}",
    "A is bad.\n('rivers', ['main', 'first try'])",
    "B is good.\n['Hello', 'Hello.']",
    "The Danube is long.\n'The Isar is missing.'",
    "[None, 'write', None, 'judge']",
    "More.",
]


@pytest.mark.slow
@pytest.mark.timeout(500)
async def test_the_cells_of_the_notebook_run_from_top_to_bottom_in_a_kernel(tmp_path: Path) -> None:
    programs = LibraryPrograms(folder=tmp_path, data_dir=tmp_path / "data")
    programs.script(SCRIPT)
    notebook, cells = _read()
    cells[0].source = cells[0].source.replace("scripted:demo", "scripted:play")
    kernel = AsyncKernelManager(connection_file=str(tmp_path / "kernel.json"))
    async with asyncio.timeout(500):
        await NotebookClient(notebook, km=kernel, timeout=400).async_execute(
            cleanup_kc=True, cwd=str(tmp_path), env={**programs.environ(), "IPYTHONDIR": str(tmp_path / "ipython")}
        )
    assert [_shown(cell) for cell in cells] == SHOWN


def test_the_notebook_is_stored_without_outputs() -> None:
    _, cells = _read()
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def _read() -> tuple[nbformat.NotebookNode, list[nbformat.NotebookNode]]:
    """The notebook, and its cells of code."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def _shown(cell: nbformat.NotebookNode) -> str:
    """What a cell has printed, and its value; not the line on standard error that says where sessions are kept."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type == "execute_result":
            texts.append(output.data["text/plain"])
    return "".join(texts)
