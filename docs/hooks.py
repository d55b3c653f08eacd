"""Hooks of the documentation site. They add the pages outside of docs/ and rewrite links.

The pages are written for a reader of the repository. On the site the README is the home page. A link to a file that is
no page of the site becomes a link to the repository. A link to a file that does not exist ends the build.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urldefrag

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/llave-bench/llave-bench/blob/main/"
PICTURES = "https://raw.githubusercontent.com/llave-bench/llave-bench/main/"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/README.md",
}
"""Pages outside of docs/: path in the repository, and path in the site."""
_LINK = re.compile(r"(?P<before>\]\(|^\[[^\]\n]+\]: )(?P<target>[^)\s]+)", re.MULTILINE)
"""A link in a sentence, or one that is defined below it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages outside of docs/ and the pictures beside the benchmarks' page."""
    pictures = (picture.relative_to(ROOT).as_posix() for picture in (ROOT / "benchmarks/results").glob("*.png"))
    for path, uri in (*PAGES.items(), *((each, each) for each in pictures)):
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Points the links of a page into the site or to the repository."""
    uri = page.file.src_uri
    path = next((path for path, site in PAGES.items() if site == uri), f"docs/{uri}")
    return _LINK.sub(lambda link: link["before"] + _pointed(link["target"], path, uri, files), markdown)


def _pointed(written: str, path: str, uri: str, files: Files) -> str:
    """The target of a link on the page at `path` in the repository and `uri` in the site."""
    target, fragment = urldefrag(written)
    own = next((prefix for prefix in (REPOSITORY, PICTURES) if target.startswith(prefix)), None)
    if not target or (own is None and ":" in target):
        return written
    found = target.removeprefix(own) if own else os.path.normpath(Path(path).parent / target)
    site = PAGES.get(found, found.removeprefix("docs/"))
    if files.get_file_from_path(site):
        pointed = os.path.relpath(site, Path(uri).parent)
    elif (ROOT / found).exists():
        pointed = REPOSITORY + found
    else:
        raise PluginError(f"{path} links to {written}, which does not exist.")
    return f"{pointed}#{fragment}" if fragment else pointed
