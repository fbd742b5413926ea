"""metrics.jsonl, the log of a run: written line by line, and read from where the last reading ended.

Its lines are not kept in memory. A reader checks each new one and passes it to consumers that stay small however long
the run is: a `Curve` for each number, the `Best` measurement, the doctor's readings.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import IO, Any

from cxrgan.errors import UserError
from cxrgan.fields import MAX_WHOLE, Fields, check_regular, shown

Row = Mapping[str, Any]
"""A line: `step` and the numbers of a training step, of a measurement or of a probe, by name."""

BEST_BY = "frechet_distance"
"""The measurement that decides which checkpoint is the best: the lower, the better."""

TEXTS = frozenset({"features", "tap", "resize", "split", "label", "note"})
TABLES = frozenset({"others"})
MOST = 1e39  # what float32 holds, and a little more: sums of such numbers are finite in float64
MAX_BYTES = 2**36  # a line has about 250
MAX_LINE = 2**20
MOST_POINTS = 2000  # of a curve; halved when reached
HOLE = 10  # times the steps between the two lines before: lines are missing
MEND = "fix or delete the line"


class LogReader:
    """Reads a log incrementally: each call of `read_on` passes the new lines to the consumers."""

    def __init__(self, file: Path, *consumers: Callable[[Row], object]) -> None:
        self._file, self._consumers = file, consumers
        self._offset = self._line = 0

    def read_on(self) -> None:
        """Pass new complete lines on; UserError names a line that is not valid."""
        for row in self.rows():
            for consumer in self._consumers:
                consumer(row)

    def rows(self) -> Iterator[Row]:
        """The new lines; an incomplete last line is left for the next call."""
        try:
            stream = _open(self._file)
        except FileNotFoundError:
            return
        with stream:
            stream.seek(self._offset)
            while (line := stream.readline(MAX_LINE)).endswith(b"\n"):
                self._line += 1
                row = _checked(line, f"{self._file}, line {self._line}")
                self._offset += len(line)
                yield row
        if len(line) == MAX_LINE:
            raise UserError(f"{self._file}, line {self._line + 1}: it is longer than {MAX_LINE:,} bytes; {MEND}")

    @property
    def offset(self) -> int:
        """Bytes read so far: the end of a line."""
        return self._offset


def append_rows(file: Path, rows: Iterable[Row]) -> None:
    """Add lines; a number that is not finite becomes null."""
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(_finite(row)) + "\n" for row in rows)


def cut_after(file: Path, last_step: int, *consumers: Callable[[Row], object]) -> int:
    """Drop the lines after `last_step`, which a resumed run writes again; the others go to the consumers.

    Returns the last step that is left, 0 where there is none.
    """
    reader, end, step = LogReader(file), 0, 0
    for row in reader.rows():
        if row["step"] > last_step:
            break
        end, step = reader.offset, row["step"]
        for consumer in consumers:
            consumer(row)
    if file.exists() and file.stat().st_size > end:
        os.truncate(file, end)
    return step


def last_row(file: Path) -> Row | None:
    """The last complete line, without reading those before; None if there is none."""
    try:
        stream = _open(file)
    except FileNotFoundError:
        return None
    with stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - 2 * MAX_LINE))
        lines = stream.read().split(b"\n")
    return _checked(lines[-2], f"{file}, the last line") if len(lines) > 1 else None


class Curve:
    """A series of any length as at most `MOST_POINTS` points: windows of it, twice as long whenever that is reached.

    Of `window` values in a row the median is taken, and of 2^k such readings the mean.
    """

    def __init__(self, window: int = 1) -> None:
        self._window, self._merged = window, 1
        self._values: list[float] = []
        self._readings: list[float] = []
        self._step = 0
        self.whole: list[tuple[int, float]] = []
        """(last step, value) of each window that is full."""

    def add(self, step: int, value: float) -> None:
        """The next value."""
        self._values.append(value)
        self._step = step
        if len(self._values) < self._window:
            return
        self._readings.append(median(self._values) if self._window > 1 else value)
        self._values.clear()
        if len(self._readings) < self._merged:
            return
        self.whole.append((step, fmean(self._readings)))
        self._readings.clear()
        if len(self.whole) == MOST_POINTS:
            pairs = zip(self.whole[::2], self.whole[1::2], strict=True)
            self.whole = [(step, (first + second) / 2) for (_, first), (step, second) in pairs]
            self._merged *= 2

    @property
    def points(self) -> list[tuple[int, float]]:
        """`whole`, and at the end what has come since."""
        rest = [*self._readings, *self._values]
        return [*self.whole, (self._step, fmean(rest))] if rest else list(self.whole)


class History:
    """What is drawn from a log: the curves of some of its numbers, and where lines are missing."""

    def __init__(self, names: Iterable[str]) -> None:
        self._curves = {name: Curve() for name in names}
        self.last: Row | None = None
        """The newest line."""
        self.best = Best()
        self.holes: list[tuple[int, int]] = []
        """(last step before, first step after) of each stretch that the log lacks."""
        self._stride = 1

    def add(self, row: Row) -> None:
        """The next line."""
        step, before = row["step"], self.last["step"] if self.last else 0
        if step > before:
            if step - before > HOLE * self._stride and self.last:
                self.holes.append((before, step))
            else:
                self._stride = step - before
        self.last = row
        self.best.add(row)
        for name, curve in self._curves.items():
            value = row.get(name)
            if value is not None:
                curve.add(step, value)

    def points(self, name: str) -> list[tuple[int, float]]:
        """(step, value) by ascending step, thinned out."""
        return self._curves[name].points

    def stretches(self, name: str) -> list[list[tuple[int, float]]]:
        """`points`, cut at the holes."""
        return cut_at(self.points(name), self.holes)


Point = tuple[float, float]


def cut_at(points: Sequence[tuple[int, float]], holes: Sequence[tuple[int, int]]) -> list[list[tuple[int, float]]]:
    """Points in the parts between the holes; empty parts are left out."""
    parts, rest = [], list(points)
    for _, first in holes:
        parts.append([point for point in rest if point[0] < first])
        rest = [point for point in rest if point[0] >= first]
    return [part for part in [*parts, rest] if part]


class Best:
    """The measurement with the lowest Frechet distance among those that can be compared with the newest one.

    These have its ruler and numbers of images: what a run measured before it changed them does not count.
    """

    def __init__(self) -> None:
        self.row: Row | None = None
        self._kind: tuple[object, ...] = ()

    def add(self, row: Row) -> None:
        """The next line of a log, a measurement or not."""
        if row.get(BEST_BY) is None or not math.isfinite(row[BEST_BY]):
            return
        kind = kind_of(row)
        if self.row is None or kind != self._kind or row[BEST_BY] < self.row[BEST_BY]:
            self.row, self._kind = row, kind

    @property
    def step(self) -> int | None:
        """Its step; None where nothing was measured."""
        return int(self.row["step"]) if self.row else None


def kind_of(row: Row) -> tuple[object, ...]:
    """What two measurements must share to be compared."""
    return tuple(row.get(name) for name in ("features", "n_real", "n_fake"))


def _open(file: Path) -> IO[bytes]:
    """A regular file for reading; a FIFO is refused instead of waited for."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        stream = os.fdopen(descriptor, "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}; fix that, or move the file away") from error
    try:
        check_regular(file, os.fstat(descriptor), MAX_BYTES, mend="move it away")
    except UserError:
        stream.close()
        raise
    return stream


def _checked(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"not valid JSON: {error}"
        raise UserError(f"{where}: {reason}; {MEND}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is {shown(row)}, but must be a table {{...}}; {MEND}")
    for name, value in row.items():
        if not _fits(name, value):
            wanted = "text" if name in TEXTS else "a list of tables" if name in TABLES else f"a number below {MOST:g}"
            Fields(row, where, MEND).refuse(name, f"{wanted}, or null")
    step = row.get("step")
    if type(step) is not int or not 0 <= step <= MAX_WHOLE:
        Fields(row, where, MEND).whole("step")
    return row


def _fits(name: str, value: object) -> bool:
    if value is None:
        return True
    if type(value) is float or type(value) is int:
        return name not in TEXTS and name not in TABLES and -MOST < value < MOST  # false for NaN too
    if type(value) is str:
        return name in TEXTS
    return type(value) is list and name in TABLES and all(_is_row(item) for item in value)


def _is_row(value: object) -> bool:
    return isinstance(value, dict) and all(_fits(name, item) for name, item in value.items())


def _finite(row: Row) -> Row:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
