"""What people look for in a repository: how to cite it, and docs whose links lead somewhere."""

import re
from pathlib import Path

import pytest

import cxrgan
from tools.docs_site import LOADED, with_links

ROOT = Path(__file__).parents[1]


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [cxrgan.__version__]


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("index.md", "[a](docs/guide.md#data)", "[a](guide.md#data)"),
        ("index.md", "![a](docs/a.png)", "![a](a.png)"),
        ("index.md", "[a](CHANGELOG.md)", "[a](changelog.md)"),
        ("index.md", "read [the loop](src/cxrgan/training/loop.py)", "read the loop"),
        ("guide.md", "[a](metrics.md#the-floor)", "[a](metrics.md#the-floor)"),
        ("guide.md", "[a](../README.md)", "[a](index.md)"),
        ("guide.md", "[a](../examples/sweep.py)", "a"),
        ("guide.md", "[a](#data) and [b](https://example.org/x#y)", "[a](#data) and [b](https://example.org/x#y)"),
    ],
)
def test_a_link_leads_to_the_same_page_in_the_repository_and_on_the_site(
    page: str, link: str, on_the_site: str
) -> None:
    assert with_links(link, page) == on_the_site


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://example.org/a.js"></script>', True),
        ('<link rel="stylesheet" href="//example.org/a.css">', True),
        ("@import url(https://example.org/a.css)", True),
        ('<img src="a.png"> <a href="https://example.org">there</a>', False),
    ],
)
def test_what_the_site_would_load_from_elsewhere_is_seen(html: str, loads: bool) -> None:
    assert bool(LOADED.search(html)) == loads
