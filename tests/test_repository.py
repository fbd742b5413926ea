"""What people look for in a repository: how to cite it, and docs whose links lead somewhere."""

import re
import tomllib
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


def test_docker_is_given_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    given = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(f"!{name}" for name in copied) == sorted(line for line in given if line.startswith("!"))
    assert [line for line in given if not line.startswith(("!", "#"))] == ["*", "**/__pycache__"]
    assert all((ROOT / name).exists() for name in copied)


def test_the_wheel_needs_no_file_that_docker_is_not_given() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{project['readme']}", *(f"!{name}" for name in project["license-files"])} <= set(given)
