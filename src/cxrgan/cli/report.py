"""`cxrgan report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.lines import say


@dataclass(frozen=True)
class Report:
    """Write everything that is known about a run into one HTML file to read, print or send; it needs no network."""

    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|OUT")]
    """A run folder, or a folder of run folders."""
    without_real: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave out the picture of training images, which may show patients."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The HTML file; if left out, report.html in that folder."""

    def run(self) -> int:
        from cxrgan.reports.page import check_report_file, write_report

        file = self.out or self.target / "report.html"
        check_report_file(file)
        write_report(self.target, file, without_real=self.without_real)
        say(f"report in {file} ({file.stat().st_size / 1e6:.1f} MB)")
        return 0
