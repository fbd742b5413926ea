"""Those who watch a run: the live line, the loss plot, TensorBoard."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from cxrgan.console import ProgressBar
from cxrgan.errors import UserError
from cxrgan.files import write_json
from cxrgan.training.checkpoint import Row, RunFolder
from cxrgan.training.doctor import Finding, diagnose

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
    """Examines the run at every grid of samples: diagnosis.json, and the names of its findings for the live line."""

    def __init__(self, folder: RunFolder, line: LiveLine) -> None:
        self._folder, self._line = folder, line

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Examined with the samples: it reads the whole log."""

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        findings = diagnose(self._folder.read_rows())
        self._line.show_findings([finding.name for finding in findings])
        write_diagnosis(self._folder, step, findings)


def write_diagnosis(folder: RunFolder, step: int, findings: Sequence[Finding]) -> None:
    """`diagnosis.json`: the last step looked at, the verdict (the findings' names) and the findings."""
    verdict = ", ".join(finding.name for finding in findings) or "healthy"
    write_json(
        folder.path / "diagnosis.json",
        {"step": step, "verdict": verdict, "findings": [asdict(finding) for finding in findings]},
    )


class Plots:
    """Draws losses.png, and metrics.png where there are measurements, anew with every grid of samples."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Drawn with the samples: a plot costs more than a step."""

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        if step > 0:
            from cxrgan.report import plot_losses, plot_metrics

            rows = self._folder.read_rows()
            relativistic = self._folder.read_info().config.loss == "relativistic"
            plot_losses(rows, self._folder.path / "losses.png", relativistic=relativistic)
            if any("frechet_distance" in row for row in rows):
                plot_metrics(rows, self._folder.path / "metrics.png")


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
