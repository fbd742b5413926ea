"""Do the two domain networks judge alike? They must agree on what is bad, and need not on a single image.

    python -m benchmarks.judges --data DIR --generators RUN_OR_NAME [...]

DIR is a dataset folder. Its training images are the real ones; judged are its test images, these blurred and noised,
and images of each generator, by the Frechet distance and by how far an image is from its nearest real one. Prints
Markdown: the distances with the agreement of their ranks, and for each set the rank correlation of its images.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.ruler import Features, Images, blur, features, noise, spoilt
from cxrgan.data.dataset import load_dataset
from cxrgan.evaluation.metrics import frechet_distance, nearest
from cxrgan.evaluation.rulers import SHIPPED
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.sets import run_set

SPOILT = {"blur": (blur, (0.5, 1, 2)), "noise": (noise, (2, 5, 20))}


def judged_sets(folder: Path, generators: list[Path]) -> dict[str, Images]:
    """Name -> images; as many of each as there are test images."""
    test = load_dataset(folder, "test").images
    sets = {"test images": test}
    for name, (distort, strengths) in SPOILT.items():
        sets |= {f"test images, {name} {strength:g}": spoilt(test, distort, strength) for strength in strengths}
    return sets | {path.name: run_set(path, len(test), seed=0).images for path in generators}


def novelty(real: Features, fake: Features) -> Features:
    """(N,) the distance of each image to its nearest real one."""
    distances, _ = nearest(of=fake, among=real)
    return distances.astype(np.float32)


def rank_correlation(a: Features, b: Features) -> float:
    """Spearman's, of values without ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--generators", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    networks, _ = load_networks(SHIPPED, device="cpu")
    train = load_dataset(arguments.data).images
    real = [features(network, train) for network in networks]
    rows = []
    for name, images in judged_sets(arguments.data, arguments.generators).items():
        fake = [features(network, images) for network in networks]
        pairs = list(zip(real, fake, strict=True))
        distances = [frechet_distance(real=r, fake=f) for r, f in pairs]
        rows.append((name, distances, rank_correlation(*(novelty(r, f) for r, f in pairs))))
    print(f"| judged | {' | '.join(network.name for network in networks)} | rank correlation of novelty |")
    print("| --- | --- | --- | --- |")
    for name, distances, agreement in sorted(rows, key=lambda row: row[1][0]):
        print(f"| {name} | {' | '.join(f'{distance:.2f}' for distance in distances)} | {agreement:.2f} |")
    first, second = (np.array([row[1][place] for row in rows]) for place in (0, 1))
    print(f"rank correlation of the distances: {rank_correlation(first, second):.3f}")


if __name__ == "__main__":
    main()
