"""How well the sliders of the latent space do what they say, on latents that none of them was found from.

    python benchmarks/directions.py --generators cxr-64 cxr-128 --data data/cxr64 data/cxr128 --json directions.json

For each generator, with the dataset folder of its size: the seconds that its directions take; each direction's R^2, and
what a unit of it changes, in deviations; how the way between its first and last class looks to a classifier that learnt
from real images alone (`cxrgan.evaluation.classifier`, which also shows what the sliders do to the class); and the time
of a picture. Prints Markdown. `--picture FILE` draws every slider of the last generator from -3 to 3.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxrgan.data.dataset import load_dataset
from cxrgan.evaluation.classifier import Classifier, ClassifierConfig, Examples, class_shares, fit
from cxrgan.evaluation.roc import auc
from cxrgan.files import write_json
from cxrgan.generation.attributes import attributes
from cxrgan.generation.directions import Direction, find_directions, move
from cxrgan.generation.explore import Place, picture
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import render
from cxrgan.images import GAP, grid, save_png

Floats = NDArray[np.float64]

UNITS = (-3, -2, -1, 1, 2, 3)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SEED = 1  # of the latents: `find_directions` has 0
NUM_PICTURES = 200  # that are timed
SHOWN = (3, 0)  # seeds of the picture: of the first class, and of the last
TITLE = 14  # pixels above a slider


@dataclass(frozen=True)
class Probe:
    """A classifier that learnt from real images alone."""

    network: Classifier
    auc: float
    """Of the last class against the first, on the real test images."""

    def log_odds(self, images: NDArray[np.uint8]) -> Floats:
        """Of the last class against the first: (N,)."""
        shares = class_shares(self.network, images).clip(1e-12)
        odds: Floats = np.log(shares[:, -1] / shares[:, 0])
        return odds


def train_probe(folder: Path) -> Probe:
    train, test = load_dataset(folder), load_dataset(folder, "test")
    network = fit(Examples(train.images, train.labels), len(train.classes), ClassifierConfig(), seed=0)
    probe, last = Probe(network, 0), len(train.classes) - 1
    of_class = [probe.log_odds(test.images[test.labels == label]) for label in (0, last)]
    return Probe(network, auc(positive=of_class[1], negative=of_class[0]))


class Bench:
    """A generator with its directions, and latents that these were not found from."""

    def __init__(self, generator: TrainedGenerator, probe: Probe | None, num: int) -> None:
        self.generator, self.probe = generator, probe
        since = time.perf_counter(), time.process_time()
        self.directions = find_directions(generator)
        self.seconds, self.cpu_seconds = time.perf_counter() - since[0], time.process_time() - since[1]
        random = torch.Generator().manual_seed(SEED)
        self.latents = torch.randn(num, *generator.config.latent_shape, generator=random)
        self.own = torch.eye(max(1, generator.config.num_classes))[torch.arange(num) % max(1, len(generator.classes))]

    def measure(self, latents: torch.Tensor, classes: torch.Tensor) -> dict[str, Floats]:
        """Latents without class, and the share of each class in them -> every attribute and the probe's log odds."""
        side = self.generator.config.latent_size
        channels = classes[:, : self.generator.config.num_classes, None, None].expand(-1, -1, side, side)
        images: NDArray[np.uint8] = render(self.generator.network, torch.cat([latents, channels], 1)).numpy()
        return attributes(images) | ({"class": self.probe.log_odds(images)} if self.probe else {})

    def report(self) -> dict[str, Any]:
        start = self.measure(self.latents, self.own)
        deviations = {direction.name: direction.deviation for direction in self.directions}
        if self.probe:  # within a class, as those of the attributes are
            deviations["class"] = float(np.mean([start["class"][self.own[:, k] == 1].std() for k in (0, -1)]))
        return {
            "generator": self.generator.name,
            "sha256": self.generator.sha256,
            "num": len(self.latents),
            "threads": torch.get_num_threads(),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "directions": [self.slider(direction, start, deviations) for direction in self.directions],
            **({"class": self.classes(deviations), "probe_auc": self.probe.auc} if self.probe else {}),
            "picture_ms": self.latency(),
        }

    def slider(self, direction: Direction, start: dict[str, Floats], deviations: dict[str, float]) -> dict[str, Any]:
        """What each number of units changes, as the mean of the middle half of the latents, in deviations."""
        changes = {}
        for units in UNITS:
            found = self.measure(move(self.latents, units * direction.step), self.own)
            changes[units] = {name: middle(found[name] - start[name]) / deviations[name] for name in found}
        return {"name": direction.name, "deviation": direction.deviation, "r2": direction.r2, "changes": changes}

    def classes(self, deviations: dict[str, float]) -> dict[str, Any]:
        """The way from the first class to the last, of the same latents."""
        assert self.probe is not None
        first, last = torch.eye(self.generator.config.num_classes)[[0, -1]]
        found = [self.measure(self.latents, ((1 - t) * first + t * last).expand(len(self.latents), -1)) for t in SHARES]
        odds = np.stack([each["class"] for each in found])
        return {
            "shares": SHARES,
            "probability": (1 / (1 + np.exp(-odds))).mean(1).tolist(),
            "auc_of_the_ends": auc(positive=odds[-1], negative=odds[0]),
            "latents_that_rise": float((odds[-1] > odds[0]).mean()),
            "changes": {name: middle(found[-1][name] - found[0][name]) / deviations[name] for name in found[0]},
        }

    def latency(self) -> dict[str, dict[str, float]]:
        """Milliseconds of a picture on the way of a pointer, with every slider in use: by the clock, and of CPU."""
        sliders, seconds = {direction.name: 0.5 for direction in self.directions}, []
        for u in np.linspace(-1, 1, NUM_PICTURES):
            since = time.perf_counter(), time.process_time()
            picture(self.generator, Place(3, 5, 9, u=float(u), v=0.5, sliders=sliders), self.directions)
            seconds.append((time.perf_counter() - since[0], time.process_time() - since[1]))
        median, slow = 1e3 * np.median(seconds, 0), 1e3 * np.quantile(seconds, 0.95, 0)
        return {clock: {"median": float(median[k]), "p95": float(slow[k])} for k, clock in enumerate(("wall", "cpu"))}


def middle(values: Floats) -> float:
    """The mean of the middle half: a formula that loses the chest in one image is no effect."""
    ordered = np.sort(values)
    return float(ordered[len(values) // 4 : len(values) - len(values) // 4].mean())


def table(report: dict[str, Any]) -> str:
    directions, found = report["directions"], report.get("class")
    wall, cpu = report["picture_ms"]["wall"], report["picture_ms"]["cpu"]
    names = list(directions[0]["changes"][1])
    lines = [
        f"{report['generator']}: found in {report['seconds']:.1f} s ({report['cpu_seconds']:.1f} s of CPU), a picture "
        f"in {wall['median']:.0f} ms, 95 % of them within {wall['p95']:.0f} ms (of CPU {cpu['median']:.1f} and "
        f"{cpu['p95']:.1f} ms), {report['threads']} threads\n",
        row("slider", "deviation", "R²", *names),
        row("---", *["---:"] * (len(names) + 2)),
    ]
    for each in directions:
        up, down = each["changes"][1], each["changes"][-1]
        effects = [f"{(up[name] - down[name]) / 2:+.2f}" for name in names]
        lines.append(row(each["name"], f"{each['deviation']:.3g}", f"{each['r2']:.2f}", *effects))
    if found:
        lines.append(row("class, 0 to 1", "", "", *(f"{found['changes'][name]:+.2f}" for name in names)))
    lines += ["", row("units", *(f"{units:+d}" for units in UNITS)), row("---", *["---:"] * len(UNITS))]
    for each in directions:
        lines.append(row(each["name"], *(f"{each['changes'][units][each['name']]:+.2f}" for units in UNITS)))
    if found:
        lines += ["", f"The probe has an AUC of {report['probe_auc']:.3f} on real test images, and of "]
        lines[-1] += f"{found['auc_of_the_ends']:.3f} between the ends; its log odds rise for "
        lines[-1] += f"{found['latents_that_rise']:.1%} of the latents. Mean probability of the last class, by share: "
        means = zip(found["shares"], found["probability"], strict=True)
        lines[-1] += ", ".join(f"{share:g}: {mean:.2f}" for share, mean in means)
    return "\n".join(lines)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def strips(generator: TrainedGenerator, directions: Sequence[Direction]) -> NDArray[np.uint8]:
    """Every slider from -3 to 3 units, and the way from class to class, two beside each other; a row for each seed."""
    names: list[str | None] = [*generator.classes] or [None]
    shown = list(zip(SHOWN, (names[0], names[-1]), strict=True))

    def strip(*places: Place) -> NDArray[np.uint8]:
        return grid(np.stack([picture(generator, place, directions) for place in places]), columns=7)

    titled = {
        direction.name: strip(
            *(
                Place(seed, 1, 2, label=label, sliders={direction.name: float(units)})
                for seed, label in shown
                for units in range(-3, 4)
            )
        )
        for direction in directions
    }
    if len(names) > 1:
        titled[f"{names[0]} to {names[-1]}"] = strip(
            *(Place(seed, 1, 2, label=names[0], other=names[-1], share=k / 6) for seed, _ in shown for k in range(7))
        )
    height, width = next(iter(titled.values())).shape
    sheet = Image.new("L", (2 * width + TITLE, -(-len(titled) // 2) * (height + TITLE)), 255)
    for index, (title, images) in enumerate(titled.items()):
        left, top = index % 2 * (width + TITLE), index // 2 * (height + TITLE)
        ImageDraw.Draw(sheet).text((left + GAP, top), title, fill=0)
        sheet.paste(Image.fromarray(images), (left, top + TITLE))
    return np.asarray(sheet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generators", nargs="+", default=["cxr-64", "cxr-128"])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="dataset folders; the probe learns from them")
    parser.add_argument("--num", type=int, default=256, help="latents that each slider is tried on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    folders = {load_dataset(folder).image_size: folder for folder in asked.data}
    reports = []
    for name in asked.generators:
        generator = load_generator(name)
        folder = folders.get(generator.config.image_size)
        bench = Bench(generator, train_probe(folder) if folder else None, asked.num)
        reports.append(bench.report())
        print(f"{table(reports[-1])}\n", flush=True)
    if asked.json:
        write_json(asked.json, reports)
    if asked.picture:
        save_png(asked.picture, strips(bench.generator, bench.directions))


if __name__ == "__main__":
    main()
