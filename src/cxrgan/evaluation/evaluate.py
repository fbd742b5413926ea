"""What `cxrgan evaluate` does: a run, a generator or a folder, measured against real images with every ruler."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrgan.errors import UserError
from cxrgan.evaluation.compare import compare, unavailable
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.rulers import RULERS, SHIPPED, Ruler
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.sets import open_pair
from cxrgan.fields import read_json


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Every metric beside its floor, as evaluation.json keeps it."""

    target: str
    """What was measured, such as `first, step 3244`."""
    data: str
    """The real images."""
    n_real: int
    n_fake: int
    rows: Sequence[Mapping[str, Any]]
    """A dict a metric: `metric`, `value`, `std`, `floor`, `floor_std`, `ratio`, and what it was measured with and on
    (`features`, `tap`, `resize`, `n_real`, `n_fake`, `split`, `label`, `seed`): `pandas.DataFrame(evaluation.rows)`."""

    @property
    def found(self) -> bool:
        """Whether anything could be measured; where not, the rows say why."""
        return any(row["value"] is not None for row in self.rows)

    def row(self, metric: str, *, label: str | None = None, features: str | None = None) -> Mapping[str, Any]:
        """The row of a metric for all images, or those of the class `label`, by the network `features`, or the first.

        KeyError where it was not measured.
        """
        for row in self.rows:
            of_network = features in (None, row["features"])
            if row["metric"] == metric and row.get("label") == label and of_network:
                return row
        raise KeyError(metric)

    def __repr__(self) -> str:
        first = next((row["features"] for row in self.rows), None)
        shown = [row for row in self.rows if row["features"] == first and row.get("label") is None]
        values = [f"{row['metric']} {row['value']:.3g}" + _beside(row) for row in shown if row["value"] is not None]
        of = f"{self.target}: {self.n_fake:,} images against {self.n_real:,} of {self.data}"
        return f"Evaluation({of}; by {first}: {', '.join(values) or 'nothing'})"


def _beside(row: Mapping[str, Any]) -> str:
    return "" if row["floor"] is None else f" (floor {row['floor']:.3g})"


def evaluate(
    target: Path,
    data: Path,
    *,
    num: int | None = None,
    split: str = "train",
    seed: int = 0,
    best: bool = False,
    rulers: Sequence[Ruler] = RULERS,
    inception_weights: Path | None = None,
    imagenet_weights: Path | None = None,
    exact: bool = False,
) -> Evaluation:
    """Measure the images of `target` against those of `data`.

    The arguments are those of `cxrgan evaluate`.
    """
    real, fake = open_pair(target, data, num=num, split=split, seed=seed, best=best)
    lacking = [ruler for ruler in rulers if real.known and ruler not in SHIPPED]  # no download that would not be used
    networks, missing = load_networks(
        [ruler for ruler in rulers if ruler not in lacking],
        inception_weights=inception_weights,
        imagenet_weights=imagenet_weights,
        exact=exact,
    )
    missing |= dict.fromkeys(lacking, f"{real.name} has no features of this network; give the images with --data DIR")
    rows = compare(real=real, fake=fake, networks=networks, seed=seed, cache=cache_folder())
    rows += [unavailable(ruler, reason) for ruler, reason in missing.items()]
    return Evaluation(target=fake.name, data=real.name, n_real=real.num, n_fake=fake.num, rows=rows)


def check_rows_file(file: Path) -> None:
    """UserError unless `file` is a .json that is new, or an evaluation that may be replaced."""
    if file.suffix.lower() != ".json" or file.is_dir():
        raise UserError(f"--json {file} is not a .json file; give one such as rows.json")
    if os.path.lexists(file):
        mend = "it is not overwritten; give another file"
        if not {"target", "data", "rows"} <= read_json(file, mend=mend).values.keys():
            raise UserError(f"--json {file} is not an evaluation; {mend}")
