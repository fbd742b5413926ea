"""What the doctor keeps of a log, however long it is: medians over windows of steps, probes and measurements."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from cxrgan.runs.log import BEST_BY, Curve, Row, kind_of

WINDOW = 50  # steps whose median is one reading
PATIENCE = 3  # consecutive readings, probes or measurements that make a finding
MOST_KEPT = 1000  # of probes and of measurements; at this number every other one is dropped

Value = TypeVar("Value")


@dataclass(frozen=True)
class Finding:
    """One thing that is going wrong."""

    name: str
    since: int
    """The step from which on it holds without interruption until the end."""
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} since step {self.since}: {self.evidence}. {self.advice}."


@dataclass(frozen=True)
class Measured:
    """A metric of evaluation.json with its floor: the score of real images against other real images."""

    step: int
    features: str
    """The network that it was measured with."""
    metric: str
    label: str | None
    """The class; None for all images."""
    value: float
    floor: float


class Thinned:
    """At most `MOST_KEPT` of any number of rows: every one, every second, every fourth, ..., and the newest."""

    def __init__(self) -> None:
        self._kept: list[Row] = []
        self._newest: list[Row] = []
        self._every, self._count = 1, 0

    def add(self, row: Row) -> None:
        """The next row."""
        self._newest = [row]
        if self._count % self._every == 0:
            self._kept.append(row)
            self._newest = []
        self._count += 1
        if len(self._kept) == MOST_KEPT:
            self._kept = self._kept[::2]
            self._every *= 2

    @property
    def rows(self) -> list[Row]:
        """What is kept, in order."""
        return self._kept + self._newest


class Readings:
    """The numbers of a run so far, in the form that the checks of the doctor use."""

    def __init__(self) -> None:
        self.step = 0
        self.curves = {name: Curve(WINDOW) for name in ("margin", "grad_g", "grad_d")}
        self.not_finite: tuple[int, str] | None = None
        """(step, loss) of the first loss that is NaN or infinite."""
        self.penalised = False
        """Whether there is a gradient penalty, which keeps the logits close together."""
        self._probes, self._measurements = Thinned(), Thinned()
        self._kind: tuple[object, ...] = ()
        self._margins: deque[float] = deque(maxlen=WINDOW)

    def add(self, row: Row) -> None:
        """The next line of the log."""
        self.step = row["step"]
        self.penalised = self.penalised or "r1" in row
        for loss in ("loss_d", "loss_g"):
            if loss in row and row[loss] is None:
                self.not_finite = self.not_finite or (self.step, loss)
        for name, curve in self.curves.items():
            if row.get(name) is not None:
                curve.add(self.step, row[name])
        if row.get("margin") is not None:
            self._margins.append(row["margin"])
        if row.get("diversity") is not None or row.get("d_train") is not None:
            self._probes.add({**row, "margin": median(self._margins) if self._margins else None})
        if row.get(BEST_BY) is not None:
            self._add_measurement(row)

    def _add_measurement(self, row: Row) -> None:
        if (
            kind_of(row) != self._kind
        ):  # another network, or other numbers of images: earlier measurements cannot be compared
            self._measurements, self._kind = Thinned(), kind_of(row)
        self._measurements.add(row)

    def windows(self, name: str) -> list[tuple[int, float]]:
        """(last step, median) of each whole window of steps."""
        return self.curves[name].whole

    def probes(self, *names: str) -> list[tuple[int, Row]]:
        """The probes that have all these numbers, with their steps; `margin` is the median of the window before."""
        return _having(self._probes.rows, names)

    def measurements(self, *names: str) -> list[tuple[int, Row]]:
        """The measurements that have all these numbers and can be compared with the newest one."""
        return _having(self._measurements.rows, names)

    @property
    def suffice(self) -> bool:
        """Whether there is enough evidence to call a run healthy."""
        return len(self.windows("margin")) >= PATIENCE and len(self.probes("diversity")) >= PATIENCE


def since(readings: Sequence[tuple[int, Value]], holds: Callable[[Value], bool]) -> int | None:
    """The step from which on it holds for all readings, if these are PATIENCE or more."""
    first, count = None, 0
    for step, value in reversed(readings):
        if not holds(value):
            break
        first, count = step, count + 1
    return first if count >= PATIENCE else None


def _having(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[int, Row]]:
    return [(row["step"], row) for row in rows if all(row.get(name) is not None for name in names)]
