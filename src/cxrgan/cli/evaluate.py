"""`cxrgan evaluate`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from cxrgan.cli.doctor import Doctor
from cxrgan.cli.names import names
from cxrgan.errors import RunError
from cxrgan.evaluation.rulers import RULERS, Ruler
from cxrgan.lines import say


@dataclass(frozen=True)
class Evaluate:
    """Measure how good the images of a run or a folder are: every metric beside its floor, the score of real images."""

    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|FOLDER")]
    """A run folder, a shipped generator (cxr-64, cxr-128, cxr-256), a folder of images, or a dataset folder."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The real images: a dataset folder, a folder of images, or shipped features of some
    (kermany-64, kermany-128, kermany-256)."""
    num: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """How many generated images to measure; left out, as many as there are real ones, or all of a folder."""
    split: Literal["train", "val", "test"] = "train"
    """Which images of a dataset folder are the real ones."""
    seed: int = 0
    """First seed of a run's images; also decides which images of a folder are drawn, and the draws of the floors."""
    best: bool = False
    """Measure the best checkpoint that `train --evaluate-every` found, not the newest."""
    rulers: Annotated[tuple[Ruler, ...], names("NAME", get_args(Ruler))] = RULERS
    """Networks to measure with: domain (also chooses the best checkpoint), domain-v2 (chooses nothing), inception
    (the FID's), inception-imagenet (the reports' Inception Score); with extras xrv, rad-dino."""
    inception_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The FID's Inception weights; if left out, from the cache or a download of 96 MB."""
    imagenet_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """ImageNet's Inception weights, inception_v3_google-0cc3c7bd.pth; if left out, from the cache
    or a download of 109 MB."""
    exact: bool = False
    """Run both Inceptions in fp32 even where the hardware would use bf16."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the results; if left out, evaluation.json in the run folder, and nowhere for other folders."""

    def run(self) -> int:
        from cxrgan.console import Terminal
        from cxrgan.evaluation.evaluate import check_rows_file, evaluate
        from cxrgan.evaluation.sets import is_run
        from cxrgan.files import write_json
        from cxrgan.reports.tables import evaluation_notes, evaluation_tables
        from cxrgan.runs.folder import RunFolder

        if self.json:
            check_rows_file(self.json)
        measured = evaluate(
            self.target,
            self.data,
            num=self.num,
            split=self.split,
            seed=self.seed,
            best=self.best,
            rulers=self.rulers,
            inception_weights=self.inception_weights,
            imagenet_weights=self.imagenet_weights,
            exact=self.exact,
        )
        say(f"{measured.target}: {measured.n_fake} images against {measured.n_real} of {measured.data}")
        Terminal().print(*evaluation_tables(measured.rows))
        for note in evaluation_notes(measured.rows):
            say(note)
        if not measured.found:
            raise RunError(f"nothing was measured of {measured.target}: the reasons are above; nothing was written")
        file = self.json or (RunFolder(self.target).evaluation_file if is_run(self.target) else None)
        if file:
            write_json(file, asdict(measured))
            say(f"rows in {file}")
            if self.json is None:
                Doctor(self.target).run()
        return 0
