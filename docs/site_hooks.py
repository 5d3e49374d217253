"""The site's pages beside this folder's: the Markdown files of the root, and an API reference page per module."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Page of the site → the file that it shows."""

API = ("core", "ports", "session", "service")
"""The packages that the API reference covers: what an extension imports, and what it is called by."""

_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> None:
    """Add the pages to the navigation that are listed nowhere else."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    api: dict[str, list[str]] = {}
    for uri, module in api_pages():
        api.setdefault(module.split(".")[1], []).append(uri)
    assert config.nav is not None
    config.nav += [
        {"Decisions": [f"decisions/{name}" for name in ("index.md", *decisions)]},
        {"API": [{package: pages} for package, pages in api.items()]},
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file below `docs/` has."""
    for uri, name in ROOT_PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
    for uri, module in api_pages():
        files.append(File.generated(config, uri, content=f"::: {module}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that lead out of `docs/` into links to the repository."""
    uri = page.file.src_uri
    folder = (ROOT / ROOT_PAGES[uri] if uri in ROOT_PAGES else ROOT / "docs" / uri).parent
    shown = {ROOT / name: page_uri for page_uri, name in ROOT_PAGES.items()}

    def target(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / link[1]))
        inside = shown.get(path) or os.path.relpath(path, ROOT / "docs")
        if files.get_file_from_path(inside) is not None:
            return f"]({os.path.relpath(inside, Path(uri).parent)}"
        if not path.exists():
            return link[0]
        kind = "tree" if path.is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{path.relative_to(ROOT).as_posix()}"

    return _LINK.sub(target, markdown)


def api_pages() -> Iterator[tuple[str, str]]:
    """The URI of each API page, and the module that it documents."""
    for package in API:
        for path in sorted((ROOT / "openhands_sessions" / package).rglob("*.py")):
            if path.stem.startswith("_"):
                continue
            inside = path.relative_to(ROOT / "openhands_sessions").with_suffix("")
            yield f"api/{inside.as_posix()}.md", ".".join(("openhands_sessions", *inside.parts))
