"""Whether changed fine detail brings a shipped generator's finished images nearer to real ones, by both rulers.

    python benchmarks/finished.py [--generator cxr-128] [--num 800]

White noise is added, of so many grey levels, or detail enlarged: the difference from the mean of 3 x 3 pixels by
(1, 2, 1). Prints the Frechet distance, precision and recall against the shipped features of the training images.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cxrgan.evaluation.features import compute
from cxrgan.evaluation.metrics import frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.generation.generator import load_generator
from cxrgan.generation.shipped import read_reference

RULERS: tuple[DomainName, ...] = ("cxr-domain-v1", "cxr-domain-v2")
NOISE = (1, 2, 3)
SCALES = (0.7, 0.85, 1.2, 1.5)


def variants(images: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Names and images (N, M, M) float in [0, 255], the first as they are."""
    yield "as they are", images
    random = np.random.default_rng(0)
    for level in NOISE:
        noise = random.standard_normal(images.shape).astype(np.float32)
        yield f"white noise of {level}", images + level * noise
    smooth = smoothed(images)
    for scale in SCALES:
        yield f"detail times {scale:g}", smooth + scale * (images - smooth)


def smoothed(images: NDArray[np.float32]) -> NDArray[np.float32]:
    taps = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(torch.from_numpy(images).unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    smooth: NDArray[np.float32] = F.conv2d(padded, torch.outer(taps, taps)[None, None]).squeeze(1).numpy()
    return smooth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="cxr-128")
    parser.add_argument("--num", type=int, default=800)
    asked = parser.parse_args()
    reference = read_reference(asked.generator.replace("cxr", "kermany"))
    images = np.asarray(load_generator(asked.generator).sample(asked.num)).astype(np.float32)
    for name, changed in variants(images):
        grey, cells = np.clip(np.round(changed), 0, 255).astype(np.uint8), []
        for ruler in RULERS:
            network = load_domain(ruler)
            real, fake = reference.features[network.sha256]["features"], compute(network, grey)[network.main_tap]
            row = manifold_metrics(real=real, fake=fake)
            cells.append(f"{frechet_distance(real=real, fake=fake):.1f}, {row.precision:.2f}, {row.recall:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
