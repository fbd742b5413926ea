"""Those who watch a run: the live line, the loss plot, TensorBoard."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxrgan.console import ProgressBar
from cxrgan.errors import UserError
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import History, LogReader, Row
from cxrgan.training.doctor.diagnose import diagnose, write_diagnosis
from cxrgan.training.doctor.readings import Readings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LiveLine:
    """Step, time left, losses, D(x) and D(G(z)), or the margin, and what the doctor finds on the terminal."""

    def __init__(self, bar: ProgressBar, *, relativistic: bool) -> None:
        self._bar, self._relativistic = bar, relativistic
        self._findings = ""

    def on_rows(self, rows: Sequence[Row]) -> None:
        last = rows[-1]
        if "loss_d" not in last:  # a measurement, a probe
            return
        opinion = f"D(x) {last['d_real']:.2f}  D(G(z)) {last['d_fake']:.2f}"
        if self._relativistic:
            opinion = f"margin {last['margin']:.2f}"
        text = f"loss D {last['loss_d']:.3f}  G {last['loss_g']:.3f}  {opinion}{self._findings}"
        self._bar.advance(len(rows), text)

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        """The terminal shows no pictures."""

    def show_findings(self, names: Sequence[str]) -> None:
        """Names of findings that stand behind the numbers from now on."""
        self._findings = "".join(f"  ! {name}" for name in names)


class Doctor:
    """Examines the run at every grid of samples: diagnosis.json, and the names of its findings for the live line.

    `log` feeds `readings`.
    """

    def __init__(self, folder: RunFolder, log: LogReader, readings: Readings, line: LiveLine) -> None:
        self._folder, self._log, self._readings, self._line = folder, log, readings, line

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Examined with the samples."""

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        self._log.read_on()
        diagnosis = diagnose(self._readings)
        self._line.show_findings([finding.name for finding in diagnosis.findings])
        write_diagnosis(self._folder.diagnosis_file, diagnosis)


class Plots:
    """Draws losses.png, and metrics.png where there are measurements, anew with every grid of samples.

    `log` feeds `history`, which has the curves of `figures.PLOTTED`.
    """

    def __init__(self, folder: RunFolder, log: LogReader, history: History, *, relativistic: bool) -> None:
        self._folder, self._log, self._history, self._relativistic = folder, log, history, relativistic

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Drawn with the samples: a plot costs more than a step."""

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        if step > 0:
            from cxrgan.reports.figures import plot_losses, plot_metrics

            self._log.read_on()
            plot_losses(self._history, self._folder.path / "losses.png", relativistic=self._relativistic)
            if self._history.best.row:
                plot_metrics(self._history, self._folder.path / "metrics.png")


def require_tensorboard() -> None:
    """UserError where TensorBoard is not installed; asked before a run folder is made."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UserError("TensorBoard is not installed: in the checkout, pip install '.[tensorboard]'") from None


class TensorBoard:
    """The same numbers and grids as TensorBoard event files in RUN/tensorboard."""

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what an earlier part of the run wrote after its last checkpoint is taken back: it comes again
        resumed_at = folder.steps()[-1] + 1 if folder.steps() else 0
        self._writer = SummaryWriter(folder.path / "tensorboard", purge_step=resumed_at)

    def on_rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for name, value in row.items():
                if isinstance(value, float) and name != "seconds":  # not counts, nor what a measurement was made with
                    self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        from cxrgan.images import grid

        self._writer.add_image("samples", grid(images), step, dataformats="HW")
