"""Make the moving picture of the page in the README: the tabs of `cxrgan web`, used in the system's chromium.

    python -m tools.page_gif RUNS_DIR [--out docs/page.gif]

It shows the newest run of RUNS_DIR and images of a shipped generator, and no real image.
"""

import argparse
import io
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

ACROSS, DOWN = 1100, 760  # pixels of the window
WIDTH = 760  # pixels of the GIF
COLORS = 64
MOVES = 24
STILL, MOVING = 2200, 120  # milliseconds that a frame is shown
PATIENCE = 120_000  # milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/page.gif"))
    options = parser.parse_args()
    with served(options.runs) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": ACROSS, "height": DOWN})
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        frames = list(tour(page))
        browser.close()
    pictures = [picture.quantize(COLORS, dither=Image.Dither.NONE) for picture, _ in frames]
    times = [time for _, time in frames]
    pictures[0].save(options.out, save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True)
    print(f"{options.out}: {len(frames)} frames, {options.out.stat().st_size / 1e6:.1f} MB")


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """The address of a page for the folder."""
    command = [sys.executable, "-m", "cxrgan", "web", str(runs), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        try:
            yield next(found[1] for line in process.stdout if (found := re.search(r"the page is at (\S+);", line)))
        finally:
            process.terminate()


def tour(page: "Page") -> Iterator[tuple[Image.Image, int]]:
    """What a visitor sees, each with the milliseconds that it is shown."""
    page.wait_for_selector(".live article")
    page.wait_for_timeout(2000)
    yield shot(page), STILL
    page.mouse.wheel(0, 620)
    page.wait_for_timeout(800)
    yield shot(page), STILL
    page.mouse.wheel(0, -2000)
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_selector(".tiles button[data-seed='23'] img")
    page.locator(".tiles button[data-seed='5']").click()
    page.wait_for_selector(".detail h2")
    page.wait_for_timeout(3000)
    yield shot(page), STILL
    page.get_by_role("tab", name="Explore").click()
    page.wait_for_selector("[data-slider='exposure']")
    box = page.locator(".explore .pad").locator("visible=true").bounding_box()
    assert box
    for number in range(MOVES):
        angle = 2 * math.pi * number / MOVES
        across, down = 0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle)
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        page.wait_for_timeout(700)
        yield shot(page), MOVING


def shot(page: "Page") -> Image.Image:
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        return picture.convert("RGB").resize((WIDTH, WIDTH * DOWN // ACROSS), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
