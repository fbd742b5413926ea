"""uint8 images -> features, computed once: cached on disk under a hash of the images and the network."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import save

from cxrgan.console import ProgressBar, warn
from cxrgan.device import full_float32
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.files import write_bytes
from cxrgan.tensors import read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH, BATCH_ON_GPU = 32, 128
MAX_CACHE_BYTES = 4 * 2**30  # the oldest features go first


def cache_folder() -> Path:
    """Where features are kept: in the user's cache folder."""
    import pooch

    return Path(pooch.os_cache("cxrgan")) / "features"


def extract(
    network: FeatureNetwork, images: "NDArray[np.uint8]", *, cache: Path | None
) -> "dict[str, NDArray[np.float32]]":
    """Images (N, H, W) uint8 -> tap -> (N, D) float32, from the folder `cache` where it has them.

    A file of the cache is named by the SHA-256 of the network, the shape and every pixel, so that a changed
    image or network never meets old features.
    """
    digest = hashlib.sha256(f"{network.sha256} {images.shape}".encode())
    digest.update(np.ascontiguousarray(images).data)
    file = cache / f"{digest.hexdigest()}.safetensors" if cache else None
    kept = _read(file, network, images) if file else None
    if kept:
        return kept
    with ProgressBar(f"features of {network.name}", len(images)) as bar:
        features = compute(network, images, bar.advance)
    if cache and file:
        try:
            write_bytes(file, save(features))
            _shrink(cache)
        except OSError as error:
            warn(f"the features cannot be cached in {cache}: {error.strerror or error}")
    return features


def _read(file: Path, network: FeatureNetwork, images: "NDArray[np.uint8]") -> "dict[str, NDArray[np.float32]] | None":
    """What a file of the cache holds; None where there is none, or not what `extract` writes: it is made again then.

    The network looks at one image, to know its taps and their widths.
    """
    if not file.exists():
        return None
    one = compute(network, images[:1])
    layout = {tap: ("float32", (len(images), *values.shape[1:])) for tap, values in one.items()}
    try:
        features = read_tensors(file, layout, mend="")
    except (FileNotFoundError, UserError):
        return None
    if not all(np.isfinite(values).all() for values in features.values()):
        return None
    with contextlib.suppress(OSError):  # a cache that may be read only
        file.touch()
    return features


@torch.inference_mode()
def compute(
    network: FeatureNetwork, images: "NDArray[np.uint8]", advance: Callable[[int], None] = lambda num: None
) -> "dict[str, NDArray[np.float32]]":
    """What `extract` gives, computed; `advance` hears of every batch how many images it had."""
    features: dict[str, NDArray[np.float32]] = {}
    first, size = 0, BATCH
    while first < len(images):
        batch = torch.tensor(images[first : first + size]).unsqueeze(1)  # a copy: a memory map is read only
        with full_float32():
            taps = network(batch)
        for tap, values in taps.items():
            if tap not in features:  # room for all at once: small pieces that are kept would scatter the memory
                features[tap] = np.empty((len(images), *values.shape[1:]), np.float32)
            features[tap][first : first + size] = values.float().cpu().numpy()
        advance(len(batch))
        first += len(batch)
        size = BATCH_ON_GPU if any(values.is_cuda for values in taps.values()) else BATCH
    return features


def _shrink(cache: Path) -> None:
    files = sorted(cache.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > MAX_CACHE_BYTES:
            file.unlink(missing_ok=True)
