"""Progress for people: a live bar with an ETA on a terminal, a plain line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

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


class ProgressBar:
    """A count towards `total`, with a free text at its end; a context manager.

    On a terminal it is a live bar; elsewhere, and on one that TERM calls dumb, a line every `PLAIN_INTERVAL` seconds
    and one at the end.
    """

    def __init__(self, title: str, total: int, *, done: int = 0) -> None:
        self.title, self.total, self.done, self._first = printable(title), total, done, done
        self._text = ""
        self._live: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Progress(*_columns(console.width), console=console)
            self._task = self._live.add_task(self.title, total=total, completed=done, text="")

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._printed != self._started or kind is None:
            self._print_line()

    def advance(self, count: int = 1, text: str = "") -> None:
        """Count `count` further, and show `text` at the end of the line."""
        self.done += count
        self._text = text
        if self._live:
            self._live.update(self._task, completed=self.done, text=text)
        elif time.monotonic() - self._printed >= PLAIN_INTERVAL:
            self._print_line()

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        elapsed = self._printed - self._started
        advanced = self.done - self._first
        eta = f", ETA {duration(elapsed / advanced * (self.total - self.done))}" if advanced > 0 else ""
        line = f"{self.title} {self.done}/{self.total}, {duration(elapsed)}{eta}  {self._text}"
        with contextlib.suppress(OSError):  # tee is gone after Ctrl-C, but the run must be saved
            print(line.rstrip(), file=sys.stderr, flush=True)


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
