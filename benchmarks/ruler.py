"""Are the domain networks good rulers? Their Frechet distance must grow whenever images get worse.

    python benchmarks/ruler.py --data DIR [DIR ...]

Each DIR is a dataset folder of the real images, at one size. Two sets of its training images, no patient being in both,
are compared: one stays, the other is spoilt more and more. Prints a Markdown table with a column for each network and
size, and draws docs/metrics-ruler.png; exits with status 1 when a distance fails to grow.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cxrgan.data.dataset import load_dataset, read_manifest
from cxrgan.evaluation.features import extract
from cxrgan.evaluation.metrics import frechet_distance
from cxrgan.evaluation.rulers import SHIPPED
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.files import replacing

Images = NDArray[np.uint8]  # (N, M, M)
Features = NDArray[np.float32]  # (N, D)

OUT = Path(__file__).parents[1] / "docs" / "metrics-ruler.png"
COLOURS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce")


def blur(image: Image.Image, sigma: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(sigma))


def noise(image: Image.Image, deviation: float) -> Image.Image:
    pixels = np.asarray(image)
    random = np.random.default_rng(int(pixels.sum()))  # an image's noise is its own
    noisy = pixels + random.normal(0, deviation, pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: float) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(quality))
    return Image.open(buffer)


SPOILT_IMAGES: Mapping[str, tuple[Callable[[Image.Image, float], Image.Image], Sequence[float]]] = {
    "blur, sigma in pixels": (blur, (0.5, 1, 1.5, 2, 3)),
    "noise, deviation in grey levels": (noise, (2, 5, 10, 20, 40)),
    "JPEG, quality": (jpeg, (90, 70, 50, 30, 10)),
}
CLASSES_DROPPED = "PNEUMONIA left out, % of its images"
SHARES_DROPPED = (0, 25, 50, 75, 100)
DUPLICATES = "distinct images, repeated to the full count"
NUM_DISTINCT = (500, 300, 100, 30, 10)
NUM_IMAGES = 1000  # on each side


def measure(network: FeatureNetwork, folder: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """A dataset folder -> network and size, and distortion -> strength -> distance; the floor is the first strength."""
    dataset = load_dataset(folder)
    patients = [entry.patient or entry.origin for entry in read_manifest(folder).images if entry.split == dataset.split]
    here, there = two_sets(patients)
    images, sick = dataset.images[there], dataset.labels[there] == dataset.classes.index("PNEUMONIA")
    real, other = features(network, dataset.images[here]), features(network, images)
    floor = frechet_distance(real=real, fake=other)
    rows: dict[str, dict[str, float]] = {}
    for name, (distort, strengths) in SPOILT_IMAGES.items():
        rows[name] = {"none": floor}
        for strength in strengths:
            fake = features(network, spoilt(images, distort, strength))
            rows[name][f"{strength:g}"] = frechet_distance(real=real, fake=fake)
    rows[CLASSES_DROPPED] = {
        str(share): frechet_distance(real=real, fake=other[with_less_sick(sick, share / 100)])
        for share in SHARES_DROPPED
    }
    rows[DUPLICATES] = {"all": floor} | {
        str(num): frechet_distance(real=real, fake=other[repeated(len(other), num)]) for num in NUM_DISTINCT
    }
    return f"{network.name.removeprefix('cxr-domain-')}, {dataset.image_size} px", rows


def two_sets(patients: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of NUM_IMAGES images, and those of as many of other patients."""
    random = np.random.default_rng(0)
    names = random.permutation(sorted(set(patients)))
    first = np.isin(patients, names[: len(names) // 2])
    here, there = (random.permutation(np.flatnonzero(mask))[:NUM_IMAGES] for mask in (first, ~first))
    return here, there


def with_less_sick(sick: NDArray[np.bool_], share_dropped: float) -> NDArray[np.int64]:
    """Rows with that share of the sick images left out, and as many rows for every share.

    The count is that of the healthy images: fewer images alone would change the distance.
    """
    random = np.random.default_rng(0)
    healthy, ill = random.permutation(np.flatnonzero(~sick)), random.permutation(np.flatnonzero(sick))
    left = len(ill) * (1 - share_dropped)
    num_ill = round(len(healthy) * left / (left + len(healthy)))
    return np.concatenate([healthy[: len(healthy) - num_ill], ill[:num_ill]])


def repeated(total: int, num_distinct: int) -> NDArray[np.int64]:
    """Rows: `num_distinct` of them over and over."""
    return np.resize(np.random.default_rng(0).permutation(total)[:num_distinct], total)


def spoilt(images: Images, distort: Callable[[Image.Image, float], Image.Image], strength: float) -> Images:
    return np.stack([np.asarray(distort(Image.fromarray(image), strength)) for image in images])


def features(network: FeatureNetwork, images: Images) -> Features:
    return extract(network, images, cache=None)[network.main_tap]


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: a row for each distortion and strength, a column for each dataset; in brackets, times the floor."""
    lines = ["| distortion | strength | " + " | ".join(results) + " |", "| --- " * (2 + len(results)) + "|"]
    for name, strengths in next(iter(results.values())).items():
        for strength in strengths:
            values = [(rows[name][strength], next(iter(rows[name].values()))) for rows in results.values()]
            cells = [f"{value:.3f} ({value / floor:.1f})" for value, floor in values]
            lines.append(f"| {name} | {strength} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    names = list(next(iter(results.values())))
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for (label, rows), colour in zip(results.items(), COLOURS, strict=False):
            _curve(axes, rows[name], label, colour)
        axes.set_title(name.replace(", ", ",\n"), fontsize=9)
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel("Frechet distance")
    first.legend(fontsize=7)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _curve(axes: Axes, strengths: Mapping[str, float], label: str, colour: str) -> None:
    axes.plot(list(strengths), list(strengths.values()), "o-", color=colour, markersize=4, label=label)
    axes.axhline(next(iter(strengths.values())), color=colour, linewidth=0.8, linestyle=":")


def failures(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The distortions under which a stronger one came out nearer."""
    return [
        f"{name} ({label})"
        for label, rows in results.items()
        for name, strengths in rows.items()
        if not np.all(np.diff(list(strengths.values())) > 0)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--network", type=Path, help="one that train-domain wrote, in place of the shipped two")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    networks, _ = load_networks(SHIPPED, device="cpu")
    if arguments.network:
        provenance = json.loads(arguments.network.with_suffix(".json").read_text())
        networks = [load_domain(provenance["name"], arguments.network)]
    results = dict(measure(network, folder) for network in networks for folder in arguments.data)
    plot(results, arguments.out)
    print(table(results))
    failed = failures(results)
    print(f"does not grow: {', '.join(failed)}" if failed else "every distance grows with the strength")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
