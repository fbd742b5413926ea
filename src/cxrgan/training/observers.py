"""Those who watch a run: the live line, the loss plot, TensorBoard, Weights & Biases."""

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from PIL import Image

from cxrgan import __version__
from cxrgan.console import ProgressBar, note
from cxrgan.errors import UserError
from cxrgan.fields import read_json
from cxrgan.files import write_json
from cxrgan.images import SYNTHETIC, grid
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
            for name, value in curve_values(row).items():
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        self._writer.add_image("samples", grid(images), step, dataformats="HW")


def curve_values(row: Row) -> dict[str, float]:
    """What of a line of the log makes curves: neither counts nor what a measurement was made with."""
    return {name: value for name, value in row.items() if isinstance(value, float) and name != "seconds"}


def require_wandb() -> None:
    """UserError where Weights & Biases is not installed; asked before a run folder is made."""
    try:
        import wandb  # noqa: F401
    except ImportError:
        raise UserError("Weights & Biases is not installed: in the checkout, pip install '.[wandb]'") from None


class WeightsAndBiases:
    """The same numbers and grids as a run of Weights & Biases, with the settings; a context that ends it.

    A run folder is one run there however often it is resumed: RUN/wandb.json keeps its id. Steps are those of training
    and only rise; what an earlier part of the run sent does not go again. Neither paths, the command line nor anything
    of the machine is sent, nor where the dataset is.
    """

    def __init__(self, folder: RunFolder) -> None:
        import wandb

        file = folder.path / "wandb.json"
        resumed = file.exists()
        self._sent = (folder.last_row() or {"step": -1})["step"] if resumed else -1
        if not resumed:
            write_json(file, {"id": secrets.token_hex(8)})
        identity = read_json(file, mend="remove it, and the run begins anew there")
        if not re.fullmatch("[0-9a-z]{1,64}", identity.text("id")):
            identity.refuse("id", "letters a to z and digits")
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "cxrgan"),
                name=folder.path.resolve().name,
                id=identity.text("id"),
                resume="allow",
                dir=folder.path,
                config=_settings_sent(folder),
                allow_val_change=True,  # a resumed run may be longer
                settings=wandb.Settings(
                    silent=True,
                    host="",
                    program="",
                    console="off",
                    disable_git=True,
                    disable_code=True,
                    disable_job_creation=True,
                    x_disable_meta=True,
                    x_disable_machine_info=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                ),
            )
        except wandb.Error as error:
            raise UserError(f"Weights & Biases: {error}; try `wandb login`, or set WANDB_MODE=offline") from error
        kept = f"offline, in {folder.path / 'wandb'}; `wandb sync` sends it"
        note(f"Weights & Biases: {kept if self._run.offline else self._run.url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._run.finish(exit_code=0 if kind is None else 1)

    def on_rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._log(row["step"], curve_values(row))

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        import wandb

        self._log(step, {"samples": wandb.Image(Image.fromarray(grid(images)), caption=SYNTHETIC)})

    def _log(self, step: int, values: dict[str, Any]) -> None:
        if step > self._sent:
            self._run.log(values, step=step)


def _settings_sent(folder: RunFolder) -> dict[str, Any]:
    """What config.json says of a run, but for its dataset's name and place."""
    info = folder.read_info()
    return {
        "cxrgan": __version__,
        "recipe": info.recipe,
        "num_images": info.num_images,
        "classes": dict(info.classes),
        **asdict(info.config),
    }
