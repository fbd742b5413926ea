"""A server of the page, and a browser to use it with."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PATIENCE = 60_000  # milliseconds, on a machine that does other things too

WATCHED = """
import json, socket, sys
def told(what, address, file=sys.argv[1]):
    host = address[0] if isinstance(address, tuple) else address
    if host not in ("127.0.0.1", "::1", "localhost", None, "") and not str(host).startswith("/"):
        open(file, "a").write(json.dumps([what, str(host)]) + "\\n")
connect, resolve = socket.socket.connect, socket.getaddrinfo
socket.socket.connect = lambda self, address: (told("connect", address), connect(self, address))[1]
socket.getaddrinfo = lambda host, *rest, **named: (told("look up", host), resolve(host, *rest, **named))[1]
from cxrgan.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
"""`cxrgan` that notes every connection it begins to another machine."""


@dataclass(frozen=True)
class Server:
    """`cxrgan web` as a process."""

    address: str
    outgoing: Path
    """What it asked other machines, a line each; no file where it asked nothing."""


@contextlib.contextmanager
def serving(place: Path, *arguments: str) -> Iterator[Server]:
    """A server of the page, which ends with a signal as by Ctrl-C."""
    outgoing = place / "outgoing.txt"
    command = [sys.executable, "-c", WATCHED, str(outgoing), "web", *arguments, "--port", "0", "--no-open"]
    with (place / "server.txt").open("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield Server(_address(place / "server.txt", process), outgoing)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0 or process.returncode == 130, (place / "server.txt").read_text()


def _address(file: Path, process: "subprocess.Popen[bytes]") -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"the page is at (\S+);", file.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"no page: {file.read_text()}")


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """Headless, the one that the system has; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, [os.environ.get("CXRGAN_CHROMIUM"), *map(shutil.which, names)]), None)
    if path is None:
        pytest.skip("no chromium on this machine: apt install chromium, or set CXRGAN_CHROMIUM to its path")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def read_lines(file: Path) -> list[object]:
    """The JSON of each line; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
