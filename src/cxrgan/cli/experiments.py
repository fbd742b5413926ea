"""`cxrgan experiments`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.cli.names import names
from cxrgan.errors import UserError
from cxrgan.lines import complain, say


@dataclass(frozen=True)
class Experiments:
    """Train and measure the reports' experiments, or your own, and compare them in one table."""

    data: Annotated[str, tyro.conf.arg(metavar="SOURCE|DIR")]
    """Any source that `cxrgan prepare` takes; or a dataset folder, for the experiments of its size."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the datasets, a run folder of each experiment, and the table; existing results are continued."""
    only: Annotated[tuple[str, ...], names("NAME")] = ()
    """Names of experiments, such as exp1,exp3; all if left out."""
    experiments: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A TOML file of your own experiments: a table [NAME] each, with `recipe` and settings as in
    `train --config`."""
    scale: float = 1.0
    """Share of each run's length to train: 0.1 for a quick look."""
    num: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Measure at most this many generated images; if left out, as many as there are training images."""
    jobs: int = 1
    """Experiments at once; they share the cores, and take the GPUs in turn."""

    def run(self) -> int:
        from cxrgan.experiments.published import EXPERIMENTS
        from cxrgan.experiments.sweep import Sweep, check, choose, prepare_data, read_experiments, run_sweep
        from cxrgan.experiments.table import write_table
        from cxrgan.experiments.workers import Processes

        if not 0 < self.scale <= 1:
            raise UserError(f"--scale is {self.scale:g}, but is a share of the length, above 0 and at most 1")
        if self.jobs < 1 or (self.num is not None and self.num < 1):
            raise UserError("--jobs and --num must be at least 1")
        if self.out.is_file():
            raise UserError(f"--out {self.out} is a file; name a folder")
        experiments = read_experiments(self.experiments) if self.experiments else EXPERIMENTS
        chosen = choose(experiments, self.only)
        workers = Processes(self.jobs)
        data = prepare_data(self.data, self.out, chosen)
        sweep = Sweep(tuple(experiments), self.out.resolve(), data, self.scale, self.num)
        for experiment in experiments:  # the table shows them all
            check(sweep, experiment)
        unfinished = [experiment for experiment in chosen if not sweep.is_finished(experiment)]
        write_table(sweep)  # a place that takes no file is told before anything is trained
        try:
            run_sweep(sweep, unfinished, workers, self.jobs, on_end=lambda: write_table(sweep))
        except KeyboardInterrupt:
            complain("stopped; the same command continues from what is saved")
            return 130
        finally:
            write_table(sweep)
        say((sweep.out / "experiments.md").read_text(encoding="utf-8"))
        say(f"the table: experiments.md, .csv and .json in {self.out}")
        left = [experiment.name for experiment in chosen if not sweep.is_finished(experiment)]
        if left:
            complain(f"not finished: {', '.join(left)}; the table says why, and the same command continues them")
        return 1 if left else 0
