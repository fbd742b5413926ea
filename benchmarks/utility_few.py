"""Whether generated images help where real ones are few: the generator too has seen the few alone.

    python benchmarks/utility_few.py --data data/cxr64 --out few [--num 100 250 500 1000] [--steps 1200]

For each number of training images: they are drawn by patient, the fewer among the more; a generator is trained on them
and nothing else; then `cxrgan.evaluation.utility` trains its classifiers on the few, on generated images, on both, and
on the few repeated, and tests them on the whole test split. OUT keeps the datasets, the runs and results.json; what is
there is not made again, and a run that was stopped goes on. Then the table is printed.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrgan.api import Run, train
from cxrgan.console import speaking
from cxrgan.data.dataset import read_manifest
from cxrgan.evaluation.classifier import ClassifierConfig
from cxrgan.evaluation.utility import utility
from cxrgan.files import replacing, write_json
from cxrgan.runs.results import ARMS, BOTH, REPEATED


def few_rows(data: Path, num: int, seed: int) -> list[int]:
    """Rows of `num` training images, patient after patient in the order of `seed`; of the last one as many as fit.

    The rows of a smaller number are among those of a larger one.
    """
    entries = read_manifest(data).images
    of_patient: dict[str, list[int]] = {}
    for row, entry in enumerate(entries):
        if entry.split == "train":
            of_patient.setdefault(entry.patient or entry.origin, []).append(row)
    order = np.random.default_rng(seed).permutation(sorted(of_patient))
    return sorted([row for patient in order for row in of_patient[patient]][:num])


def write_few(data: Path, out: Path, num: int, seed: int) -> None:
    """A dataset folder of `num` of the training images and of the whole test split."""
    manifest = json.loads((data / "manifest.json").read_text())
    entries = manifest["images"]
    rows = few_rows(data, num, seed) + [row for row, entry in enumerate(entries) if entry["split"] == "test"]
    kept = [entries[row] for row in rows]
    with replacing(out) as folder:
        folder.mkdir()
        np.save(folder / "images.npy", np.load(data / "images.npy", mmap_mode="r")[rows])
        splits = {split: [entry for entry in kept if entry["split"] == split] for split in ("train", "test")}
        manifest |= {
            "name": f"{manifest['name']}-{num}",
            "images": kept,
            "images_sha256": hashlib.sha256((folder / "images.npy").read_bytes()).hexdigest(),
            "counts": {split: dict(Counter(entry["label"] for entry in of)) for split, of in splits.items()},
            "num_patients": {split: len({e["patient"] for e in of} - {None}) for split, of in splits.items()},
            "rejected": [],
            "duplicates": [],
        }
        write_json(folder / "manifest.json", manifest)


def finish(data: Path, run: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Train the run `run` on `data`, from the start or from where it stopped."""
    if not (run / "config.json").exists():
        train(data, run, recipe=name, settings=settings, progress=True)
    elif Run(run).step < Run(run).num_steps:
        Run(run).resume(progress=True)
    if Run(run).step < Run(run).num_steps:
        raise SystemExit(f"{run} was stopped; the same command goes on")


def table(results: Mapping[str, Any]) -> str:
    """AUCs with intervals and the deviation over seeds, and what adding generated images changes, as Markdown."""
    lines = ["| real | generated | " + " | ".join((*ARMS, f"{BOTH} minus {REPEATED}")) + " |", "|" + " ---: |" * 7]
    for num, found in sorted(results.items(), key=lambda item: int(item[0])):
        aucs = [f"{_interval(arm['auc'])}, sd {arm['std'] or 0:.3f}" for arm in found["arms"]]
        gain = next(each for each in found["comparisons"] if (each["of"], each["against"]) == (BOTH, REPEATED))
        cells = [num, str(found["num_synthetic"]), *aucs, _interval(gain["difference"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num", type=int, nargs="+", default=[100, 250, 500, 1000], help="real training images")
    parser.add_argument("--synthetic", type=int, default=1000, help="generated images that a classifier learns from")
    parser.add_argument("--recipe", default="quick", help="of the generator")
    parser.add_argument("--steps", type=int, help="of the generator; left out, the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="draws the real images and trains the generator")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    file = asked.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for num in asked.num:
        if str(num) not in results:
            few, run = asked.out / f"data-{num}", asked.out / f"run-{num}"
            if not few.exists():
                write_few(asked.data, few, num, asked.seed)
            settings = {"conditional": True, "seed": asked.seed, "precision": asked.precision}
            finish(few, run, asked.recipe, settings | ({"steps": asked.steps} if asked.steps else {}))
            with speaking():
                found = utility(run, few, num=asked.synthetic, config=ClassifierConfig(precision=asked.precision))
            results[str(num)] = asdict(found)
            write_json(file, results)
    print(table(results))


if __name__ == "__main__":
    main()
