"""Hooks of the docs site (mkdocs.yml): pages from the repository's root, and a check that reading needs no network."""

import logging
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""File in the root of the repository -> page of the site."""

LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
LOADED = re.compile(
    r"(?:<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=|\burl\(|@import )[\"']?(?:https?:)?//[^\"'\s>)]*"
)

log = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """README.md and its neighbours become pages of the site."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        if (ROOT / name).exists():
            files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """The links of a page as the site needs them."""
    return with_links(markdown, page.file.src_uri)


def with_links(markdown: str, page: str) -> str:
    """Links of a file of the repository as they lead from `page` of the site.

    One to a file that is not on the site keeps its words alone.
    """
    folder = "" if page in PAGES.values() else posixpath.join("docs", posixpath.dirname(page))

    def moved(link: re.Match[str]) -> str:
        if ":" in link["target"]:  # elsewhere
            return link[0]
        file = posixpath.normpath(posixpath.join(folder, link["target"]))
        if file not in PAGES and not file.startswith("docs/"):
            return link["words"]
        place = PAGES.get(file) or file.removeprefix("docs/")
        target = posixpath.relpath(place, posixpath.dirname(page) or ".")
        return f"{link['image']}[{link['words']}]({target}{link['anchor'] or ''})"

    return LINK.sub(moved, markdown)


def on_post_build(config: "MkDocsConfig") -> None:
    """What a page or a stylesheet loads from elsewhere is a warning, which `--strict` takes for an error."""
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css"):
            for found in LOADED.findall(file.read_text(encoding="utf-8")):
                log.warning("%s loads from elsewhere: %s", file, found)
