"""Progress as people see it, on terminals wide and narrow."""

import io
import re

import pytest
from rich.console import Console

from cxrgan import console
from cxrgan.console import ProgressBar

TEXT = "loss D 0.123  G 4.567  D(x) 0.91  D(G(z)) 0.08  ! mode collapse  ! overfitting"


@pytest.mark.parametrize("title", ["fast-64 on cpu in fp32", "features of inception-imagenet-sha256:0123456789ab"])
@pytest.mark.parametrize(("width", "shows_text"), [(80, False), (200, True)])
def test_step_and_time_stay_on_a_narrow_terminal_and_the_text_gives_way(
    title: str, width: int, shows_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=stream, force_terminal=True, width=width, soft_wrap=True))
    with console.speaking(), ProgressBar(title, 162_000, done=161_000) as bar:
        for _ in range(3):
            bar.advance(10, TEXT)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).rstrip().splitlines()
    last = shown[-1].rpartition("\r")[2]
    assert title[: width // 3 - 1] in last
    assert "161030/162000" in last
    assert re.search(r"\d:\d\d:\d\d ETA (\d|-):(\d\d|--):(\d\d|--)", last)
    assert len(last.rstrip()) <= width
    assert (TEXT in last) == shows_text
    assert all("/162000" in line for line in shown if line.strip())  # none is wrapped


def test_progress_that_nobody_reads_any_more_hinders_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cxrgan train 2>&1 | tee log`: Ctrl-C ends tee too, and the run has yet to be saved."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(console, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr("sys.stderr", Gone())
    with ProgressBar("training", 10) as bar:
        bar.advance()
    assert bar.done == 1
