"""`cxrgan audit`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.lines import say

COPIES_FOUND = 3  # exit status
NUM_PAIRS = 3  # that are named


@dataclass(frozen=True)
class Audit:
    """Look for copies of training images, whole or in part, among the images of a run or a folder.

    Exit status 0: none found; 3: copies found.
    """

    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|FOLDER")]
    """A run folder, a shipped generator (cxr-64, cxr-128, cxr-256), a folder of images, or a dataset folder."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The dataset folder that the generator was trained on."""
    held_out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Real images of patients that no training saw, a folder or a dataset folder; left out, the test images of --data
    (or its val images, where there are more)."""
    num: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """How many images to audit; left out, as many of a generator as are held out, or all of a folder."""
    seed: int = 0
    """First seed of a generator's images; also decides which images of a folder are drawn, and what is planted."""
    best: bool = False
    """Audit the best checkpoint that `train --evaluate-every` found, not the newest."""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the strongest pairs into this PNG, each image beside its training image. It shows patients: keep it
    private."""
    utility: bool = False
    """Measure too of what use the images are to a classifier tested on real patients, in place of the real ones
    and beside them. Twelve small classifiers: some minutes at 64 pixels."""

    def run(self) -> int:
        status = self._look_for_copies()
        if self.utility:
            self._measure_utility()
        return status

    def _look_for_copies(self) -> int:
        from dataclasses import asdict

        from cxrgan.console import Terminal
        from cxrgan.evaluation.audit import audit, check_pairs_file
        from cxrgan.evaluation.sets import is_run
        from cxrgan.files import write_json
        from cxrgan.reports.audit import audit_limits, audit_pairs, audit_verdict, terminal_tables
        from cxrgan.runs.folder import RunFolder

        if self.pairs:
            check_pairs_file(self.pairs)
        found = audit(
            self.target,
            self.data,
            held_out=self.held_out,
            num=self.num,
            seed=self.seed,
            best=self.best,
            pairs=self.pairs,
        )
        values = asdict(found)
        Terminal().print(*terminal_tables(values))
        for line in audit_pairs(values, NUM_PAIRS):
            say(f"strongest: {line}")
        if self.pairs:
            say(f"pairs in {self.pairs}; it shows real patients, keep it private")
        say(audit_limits(values))
        say(f"{found.target}: {audit_verdict(values)}")
        if is_run(self.target):
            file = RunFolder(self.target).audit_file
            write_json(file, values)
            say(f"audit in {file}")
        return COPIES_FOUND if found.found else 0

    def _measure_utility(self) -> None:
        from dataclasses import asdict

        from cxrgan.console import Terminal
        from cxrgan.evaluation.sets import is_run
        from cxrgan.evaluation.utility import utility
        from cxrgan.files import write_json
        from cxrgan.reports.utility import utility_answers, utility_tables
        from cxrgan.runs.folder import RunFolder

        values = asdict(utility(self.target, self.data, best=self.best))
        Terminal().print(*utility_tables(values))
        for answer in utility_answers(values):
            say(answer)
        if is_run(self.target):
            file = RunFolder(self.target).utility_file
            write_json(file, values)
            say(f"utility in {file}")
