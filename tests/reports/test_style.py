"""The look of the pages: readable in the light and in the dark, and nowhere wider than the screen."""

import html
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import load_dataset
from cxrgan.reports.page import STYLES, write_report
from cxrgan.training.loop import start, train

CSS = "".join(file.read_text("utf-8") for file in STYLES)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def palettes() -> list[dict[str, str]]:
    """The colours of the light and of the dark."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)[:2]
    )
    assert light.keys() == dark.keys()
    return [light, dark]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(palette: dict[str, str]) -> None:
    for back in ("back", "soft", "good-back", "bad-back"):
        assert all(contrast(palette[text], palette[back]) >= 4.5 for text in ("text", "dim", "link"))
    assert contrast(palette["good"], palette["back"]) >= 4.5  # the badge, and
    assert contrast(palette["bad"], palette["back"]) >= 4.5  # what failed
    lines = [name for name in palette if name.startswith("run-")] + ["generated", "real", "third", "floor"]
    assert all(contrast(palette[line], palette["back"]) >= 3 for line in lines)


def test_the_page_has_a_style_for_each_class_of_its_lines() -> None:
    for name in (*(f"run-{n}" for n in range(8)), "generated", "real", "third", "floor"):
        assert re.search(rf"svg \.{name} {{ stroke: var\(--{name}\)", CSS)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_page_is_wider_than_the_screen(width: int, tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data")
    dataset, runs = load_dataset(data), tmp_path / "runs"
    for name in ("one", "a-name-as-long-as-" + "somebody-may-choose-" * 4):
        folder = start(replace(TINY, steps=4, sample_every=2), dataset, runs / name, recipe="dcgan", data=str(data))
        train(folder, folder.read_info().config, dataset)
    for target in (runs / "one", runs):
        write_report(target, tmp_path / "report.html", without_real=False)
        assert scroll_width(tmp_path / "report.html", width) <= width


def scroll_width(page: Path, width: int) -> int:
    """How wide a browser lays a page out in a frame of this width."""
    content = re.sub("<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))  # it may hold no script
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<!DOCTYPE html><iframe style="width:{width}px; height:900px; border:0" srcdoc="{html.escape(content)}" '
        'onload="document.title = this.contentDocument.documentElement.scrollWidth"></iframe>'
    )
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={page.parent / 'browser'}",
    ]
    dom = subprocess.run([*command, "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120).stdout
    (found,) = re.findall(r"<title>(\d+)</title>", dom)
    return int(found)
