"""A run folder, or a folder of them -> one HTML file that needs no network and no script.

What is shown is read by `run` and `experiments`; how it looks stands in templates/, shared.css and style.css. Jinja2
escapes every text.
"""

import os
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrgan import __version__
from cxrgan.errors import UserError
from cxrgan.fields import check_regular
from cxrgan.files import write_bytes
from cxrgan.reports.experiments import ExperimentsPage, experiments_page
from cxrgan.reports.record import read_run
from cxrgan.reports.run import RunPage, run_page
from cxrgan.runs.folder import RunFolder

TITLE_END = ": report of cxrgan</title>"  # by which a report is known again
HEAD_BYTES = 4096  # of a report, with its title
MAX_REPORT_BYTES = 2**40
STYLES = tuple(Path(__file__).with_name(name) for name in ("shared.css", "style.css"))
"""The first is for other pages too."""


def write_report(target: Path, out: Path, *, without_real: bool) -> None:
    """The report of a run folder, or of a folder of runs, as the HTML file `out`.

    `without_real` leaves out the picture of training images. UserError where there is no run or a file is damaged.
    """
    page: RunPage | ExperimentsPage
    if (target / "config.json").exists():
        template, page = "run.html", run_page(read_run(RunFolder(target)), with_real=not without_real)
    else:
        template, page = "experiments.html", experiments_page(target, with_real=not without_real)
    style = "".join(file.read_text("utf-8") for file in STYLES)
    text = _templates().get_template(template).render(page=page, style=style, version=__version__)
    write_bytes(out, text.encode("utf-8", "backslashreplace"))


def check_report_file(file: Path) -> None:
    """UserError unless `file` is a .html that is new, or an earlier report that may be replaced."""
    mend = "it is not overwritten, name another file"
    if file.suffix.lower() not in (".html", ".htm") or file.is_dir():
        raise UserError(f"--out {file} does not name an .html file; give one such as report.html")
    if os.path.lexists(file):
        check_regular(file, file.stat(), MAX_REPORT_BYTES, mend=mend)
        with file.open("rb") as stream:
            if TITLE_END.encode() not in stream.read(HEAD_BYTES):
                raise UserError(f"--out {file} holds something else than a report of cxrgan; {mend}")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("cxrgan.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
