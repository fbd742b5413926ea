"""How long a page of `cxrgan export --browser` takes in chromium: from opening to an image, from a move to its image.

    python benchmarks/browser.py FOLDER... [--loads 5] [--moves 100] [--chromium /usr/bin/chromium]

Needs Playwright (extra dev). The folders are served by http.server, with no header that it does not send by itself.
"""

import argparse
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
MOVES = """async (num) => {
    const image = document.querySelector('#image'), pad = document.querySelector('#pad'), times = [];
    for (let i = 0; i < num; i++) {
        const start = performance.now();
        const drawn = new Promise((done) => {
            const watch = new MutationObserver(() => { watch.disconnect(); done(); });
            watch.observe(image, { attributeFilter: ['aria-label'] });
        });
        const key = ['ArrowRight', 'ArrowUp', 'ArrowLeft', 'ArrowDown'][Math.floor(i / 10) % 4];
        pad.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        await drawn;
        times.push(performance.now() - start);
    }
    return times;
}"""


class Quiet(SimpleHTTPRequestHandler):
    """As `python -m http.server`, without its lines."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def seconds_to_image(page: "Page", address: str) -> float:
    """From opening the page to its first image, by the browser's clock."""
    page.goto(address)
    page.wait_for_selector("#image[aria-label^=Synthetic]", timeout=60_000)
    milliseconds: float = page.evaluate("performance.getEntriesByName('first image')[0].startTime")
    return milliseconds / 1000


def main() -> None:
    """Measure and print a row of a table for each folder."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    print("| page | model.onnx | folder | first image, median (max) | a move, median (p95) |")
    print("| --- | --- | --- | --- | --- |")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=FLAGS)
        for folder in given.folders:
            with served(folder) as address:
                loads = []
                for _ in range(given.loads):
                    context = browser.new_context()  # with an empty cache
                    page = context.new_page()
                    loads.append(seconds_to_image(page, address))
                    if len(loads) < given.loads:
                        context.close()
                page.wait_for_timeout(10_000)  # the small images are drawn by then
                times = sorted(page.evaluate(MOVES, given.moves))
                context.close()
            model, whole = (
                (folder / "model.onnx").stat().st_size,
                sum(file.stat().st_size for file in folder.rglob("*")),
            )
            first = f"{statistics.median(loads):.2f} s ({max(loads):.2f} s)"
            move = f"{statistics.median(times):.0f} ms ({times[int(0.95 * len(times))]:.0f} ms)"
            print(f"| {folder.name} | {model / 1e6:.1f} MB | {whole / 1e6:.1f} MB | {first} | {move} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
