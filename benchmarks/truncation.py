"""What truncation costs and brings: precision and recall of a shipped generator's images over psi, as table and plot.

    python benchmarks/truncation.py --num 1500 --out docs/truncation.png

Real images are the shipped features that the generators were trained on (kermany-64, kermany-128).
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cxrgan.evaluation.features import compute
from cxrgan.evaluation.metrics import ManifoldMetrics, frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.generation.generator import load_generator
from cxrgan.generation.shipped import GENERATORS, read_reference

PSI = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=1500, help="generated images of each psi")
    parser.add_argument("--out", type=Path, help="where the plot goes")
    asked = parser.parse_args()
    curves = {name: measure(name, asked.num) for name in GENERATORS}
    if asked.out:
        plot(curves, asked.out)


def measure(name: str, num: int) -> list[ManifoldMetrics]:
    """A row for each psi, printed as Markdown."""
    generator, domain = load_generator(name), load_domain()
    real = read_reference(name.replace("cxr", "kermany")).features[domain.sha256]["features"]
    print(f"\n| {name}, truncation | Frechet distance ({domain.name}) | precision | recall | density | coverage | s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    found = []
    for psi in PSI:
        since = time.monotonic()
        images = np.asarray(generator.sample(num, truncation=psi))
        fake = compute(domain, images)[domain.main_tap]
        row = manifold_metrics(real=real, fake=fake)
        distance = frechet_distance(real=real, fake=fake)
        values = " | ".join(f"{value:.2f}" for value in (row.precision, row.recall, row.density, row.coverage))
        print(f"| {psi:g} | {distance:.1f} | {values} | {time.monotonic() - since:.0f} |", flush=True)
        found.append(row)
    return found


def plot(curves: dict[str, list[ManifoldMetrics]], path: Path) -> None:
    """Precision against recall, a curve a generator."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for (name, rows), colour in zip(curves.items(), ("#1d4ed8", "#c2410c"), strict=True):
        axes.plot([row.recall for row in rows], [row.precision for row in rows], "o-", color=colour, label=name)
        for psi, row in zip(PSI, rows, strict=True):
            axes.annotate(f"{psi:g}", (row.recall, row.precision), (5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("recall: share of the real variety")
    axes.set_ylabel("precision: share that looks real")
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
