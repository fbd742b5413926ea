"""A dataset and a configuration small enough to train within a second."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cxrgan.models.config import ModelConfig
from cxrgan.recipes.named import DCGAN

TINY = replace(
    DCGAN,
    model=ModelConfig(image_size=32, latent_channels=8, ngf=4, ndf=4),
    batch_size=8,
    device="cpu",
    precision="fp32",
    log_every=3,
    num_samples=4,
)


def write_tiny_dataset(
    path: Path, num: int = 40, size: int = 32, seed: int = 0, classes: Sequence[str] = ("NORMAL",)
) -> Path:
    """A dataset folder of smooth blobs, of the classes in turn, all in the split `train`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    centres = random.uniform(-0.5, 0.5, (num, 2, 1, 1))
    images = (255 * np.exp(-4 * ((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2))).astype(np.uint8)
    path.mkdir(parents=True)
    np.save(path / "images.npy", images)
    labels = [classes[i % len(classes)] for i in range(num)]
    rows = [
        {"split": "train", "label": label, "patient": None, "origin": f"{i}", "sha256": ""}
        for i, label in enumerate(labels)
    ]
    manifest = {
        "format": 1,
        "name": "tiny",
        "size": size,
        "classes": list(classes),
        "images_sha256": hashlib.sha256((path / "images.npy").read_bytes()).hexdigest(),
        "counts": {"train": dict(Counter(labels))},
        "images": rows,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path
