"""What `cxrgan evaluate` does: a run, a generator or a folder, measured against real images with every ruler."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrgan.errors import UserError
from cxrgan.evaluation.compare import compare, unavailable
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.rulers import RULERS, Ruler
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.sets import open_pair
from cxrgan.fields import read_json


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
) -> dict[str, Any]:
    """What evaluation.json holds of the images of `target` against those of `data`: the names of both, and the rows.

    The arguments are those of `cxrgan evaluate`.
    """
    real, fake = open_pair(target, data, num=num, split=split, seed=seed, best=best)
    lacking = [ruler for ruler in rulers if real.known and ruler != "domain"]  # no download that would not be used
    networks, missing = load_networks(
        [ruler for ruler in rulers if ruler not in lacking],
        inception_weights=inception_weights,
        imagenet_weights=imagenet_weights,
        exact=exact,
    )
    missing |= dict.fromkeys(lacking, f"{real.name} has no features of this network; give the images with --data DIR")
    rows = compare(real=real, fake=fake, networks=networks, seed=seed, cache=cache_folder())
    rows += [unavailable(ruler, reason) for ruler, reason in missing.items()]
    return {"target": fake.name, "data": real.name, "n_real": real.num, "n_fake": fake.num, "rows": rows}


def check_rows_file(file: Path) -> None:
    """UserError unless `file` is a .json that is new, or an evaluation that may be replaced."""
    if file.suffix.lower() != ".json" or file.is_dir():
        raise UserError(f"--json {file} is not a .json file; give one such as rows.json")
    if os.path.lexists(file):
        mend = "it is not overwritten; give another file"
        if not {"target", "data", "rows"} <= read_json(file, mend=mend).values.keys():
            raise UserError(f"--json {file} is not an evaluation; {mend}")
