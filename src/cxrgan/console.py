"""Progress and warnings for people: on a terminal, in a notebook, or not at all.

A library is silent unless it is asked: `speaking` asks. The command line does so for all that it runs.
"""

import contextlib
import html
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from cxrgan.fields import printable

Item = TypeVar("Item")

PLAIN_INTERVAL = 10.0  # seconds between two lines where the output is no terminal
NOTEBOOK_INTERVAL = 0.5  # seconds between two drawings of a notebook's bar

Voice = Literal["silent", "terminal", "notebook"]
_voice: Voice = "silent"


class Terminal(Console):
    """A console that obeys nothing in a text: control characters are shown, and `[red]` is no markup.

    Names of files, classes and runs come from anywhere. Whatever is printed through here, tables too, is safe.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich draws it."""
        return super().render_str(printable(text), **options)


console = Terminal(stderr=True, soft_wrap=True)


@contextlib.contextmanager
def speaking(progress: bool | None = True) -> Iterator[None]:
    """Within, progress is shown: always, never, or, for None, where it was before and in a notebook."""
    global _voice
    before = _voice
    if progress is False:
        _voice = "silent"
    elif _in_notebook():
        _voice = "notebook"
    elif progress:
        _voice = "terminal"
    try:
        yield
    finally:
        _voice = before


def warn(text: str) -> None:
    """Something to know that stops nothing: a line on the terminal, a Python warning for those who call a function."""
    if _voice == "terminal":
        console.print(text, style="yellow")
    else:
        warnings.warn(printable(text), stacklevel=2)


def note(text: str) -> None:
    """Something good to know, shown where progress is."""
    if _voice != "silent":
        console.print(text)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class ProgressBar:
    """A count towards `total`, with a free text at its end; a context manager.

    On a terminal it is a live bar; elsewhere, and on one that TERM calls dumb, a line every `PLAIN_INTERVAL` seconds
    and one at the end. In a notebook it is a bar in the cell's output. Unless somebody is `speaking` it is nothing.
    """

    def __init__(self, title: str, total: int, *, done: int = 0) -> None:
        self.title, self.total, self.done, self._first = printable(title), total, done, done
        self._text = ""
        self._live: Progress | None = None
        self._cell: Any = None
        if _voice == "terminal" and console.is_terminal and not console.is_dumb_terminal:
            self._live = Progress(*_columns(console.width), console=console)
            self._task = self._live.add_task(self.title, total=total, completed=done, text="")

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        if self._live:
            self._live.start()
        elif _voice == "notebook":
            self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif _voice == "notebook":
            self._draw()
        elif _voice == "terminal" and (self._printed != self._started or kind is None):
            self._print_line()

    def advance(self, count: int = 1, text: str = "") -> None:
        """Count `count` further, and show `text` at the end of the line."""
        self.done += count
        self._text = text
        since = time.monotonic() - self._printed
        if self._live:
            self._live.update(self._task, completed=self.done, text=text)
        elif _voice == "notebook" and since >= NOTEBOOK_INTERVAL:
            self._draw()
        elif _voice == "terminal" and since >= PLAIN_INTERVAL:
            self._print_line()

    def _print_line(self) -> None:
        with contextlib.suppress(OSError):  # tee is gone after Ctrl-C, but the run must be saved
            print(self._line(), file=sys.stderr, flush=True)

    def _draw(self) -> None:
        """The bar of a notebook's cell; HTML's own, so that no widget need be installed."""
        from IPython.display import HTML, display  # a notebook has it

        line = html.escape(self._line())
        bar = HTML(f'<progress max="{self.total}" value="{self.done}"></progress> <code>{line}</code>')
        if self._cell is None:
            self._cell = display(bar, display_id=True)
        else:
            self._cell.update(bar)

    def _line(self) -> str:
        """How far it is, in words."""
        self._printed = time.monotonic()
        elapsed = self._printed - self._started
        advanced = self.done - self._first
        eta = f", ETA {duration(elapsed / advanced * (self.total - self.done))}" if advanced > 0 else ""
        return f"{self.title} {self.done}/{self.total}, {duration(elapsed)}{eta}  {self._text}".rstrip()


class FreeText(ProgressColumn):
    """What is said besides: the one column that gives way where the terminal is narrow, cut and never wrapped."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["text"], no_wrap=True, overflow="ellipsis")


def _columns(width: int) -> list[ProgressColumn]:
    """Those of a live bar on a terminal of so many characters."""

    def whole() -> Column:
        return Column(no_wrap=True)

    return [
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=width // 3),
        ),
        BarColumn(bar_width=min(24, width // 8)),
        MofNCompleteColumn(table_column=whole()),
        TimeElapsedColumn(table_column=whole()),
        TextColumn("ETA"),
        TimeRemainingColumn(table_column=whole()),
        FreeText(),
    ]


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """Yield `items` while showing how far it is."""
    with ProgressBar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()


def duration(seconds: float) -> str:
    """Seconds as people read them: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
