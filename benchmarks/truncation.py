"""What truncation costs and brings: precision and recall of the shipped generators' images over psi, by both rulers.

    python benchmarks/truncation.py --num 1500 --out docs/truncation.png

Real images are the shipped features that the generators were trained on (kermany-64, kermany-128, kermany-256).
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cxrgan.evaluation.features import compute
from cxrgan.evaluation.metrics import ManifoldMetrics, frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.generation.generator import load_generator
from cxrgan.generation.shipped import GENERATORS, read_reference

PSI = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
NAMED = (0.5, 1.0, 1.2)  # in the plot
RULERS: tuple[DomainName, ...] = ("cxr-domain-v1", "cxr-domain-v2")
COLOURS = dict(zip(GENERATORS, ("#1d4ed8", "#c2410c", "#15803d"), strict=True))

Curves = dict[DomainName, list[ManifoldMetrics]]
"""For each psi, by each ruler."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=1500, help="generated images of each psi")
    parser.add_argument("--out", type=Path, help="where the plot goes")
    asked = parser.parse_args()
    curves = {name: measure(name, asked.num) for name in GENERATORS}
    if asked.out:
        plot(curves, asked.out)


def measure(name: str, num: int) -> Curves:
    """A row for each psi, printed as Markdown."""
    generator, reference = load_generator(name), read_reference(name.replace("cxr", "kermany"))
    networks = {ruler: load_domain(ruler) for ruler in RULERS}
    found: Curves = {ruler: [] for ruler in RULERS}
    print(
        f"\n| {name}, truncation | " + " | ".join(f"{ruler}: distance | precision | recall" for ruler in RULERS) + " |"
    )
    print("| ---: " * 7 + "|")
    for psi in PSI:
        images, cells = np.asarray(generator.sample(num, truncation=psi)), []
        for ruler, network in networks.items():
            real, fake = reference.features[network.sha256]["features"], compute(network, images)[network.main_tap]
            row = manifold_metrics(real=real, fake=fake)
            found[ruler].append(row)
            cells.append(f"{frechet_distance(real=real, fake=fake):.1f} | {row.precision:.2f} | {row.recall:.2f}")
        print(f"| {psi:g} | {' | '.join(cells)} |", flush=True)
    return found


def plot(curves: dict[str, Curves], path: Path) -> None:
    """Precision against recall, a panel a ruler and a curve a generator."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, len(RULERS), sharex=True, sharey=True)
    for axes, ruler in zip(panels, RULERS, strict=True):
        for name, found in curves.items():
            rows = found[ruler]
            recall, precision = [row.recall for row in rows], [row.precision for row in rows]
            axes.plot(recall, precision, "o-", color=COLOURS[name], label=name)
            for psi, *place in zip(PSI, recall, precision, strict=True):
                if psi in NAMED:
                    axes.annotate(f"{psi:g}", place, (5, 4), textcoords="offset points", fontsize=8)
        axes.set_title(f"by {ruler}")
        axes.set_xlabel("recall: share of the real variety")
    panels[0].set_ylabel("precision: share that looks real")
    panels[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
