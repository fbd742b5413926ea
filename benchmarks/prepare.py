"""How much faster `cxrgan prepare` is than one process of plain Pillow, and how far the pixels are apart.

Both sides take turns on the same JPEG files, read once before so that the disk does not count: the originals in
CXRGAN_TEST_DATA/chest_xray_raw (by default beside the checkout), or phantoms of that size where there are none.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrgan.data.phantom import phantoms
from cxrgan.data.prepare import num_cores, prepare
from cxrgan.images import resize

SIZES = (32, 64, 128, 256)
NUM_REPETITIONS = 5


def plain(source: Path, out: Path, size: int) -> NDArray[np.uint8]:
    """What a short script does: open, convert, resize, save, one file after the other -> (N, size, size)."""
    out.mkdir()
    images = []
    for path in sorted(source.rglob("*.jp*g")):
        image = resize(Image.open(path).convert("L"), size, "crop")
        image.save(out / f"{path.stem}.png")
        images.append(np.asarray(image))
    return np.stack(images)


def fast(source: Path, out: Path, size: int) -> NDArray[np.uint8]:
    """`cxrgan prepare`, quietly -> (N, size, size)."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # noqa: PTH123
        prepare(str(source), out, size)
    return np.asarray(np.load(out / "images.npy"))


def seconds(side: Callable[[], NDArray[np.uint8]]) -> tuple[float, NDArray[np.uint8]]:
    start = time.perf_counter()
    images = side()
    return time.perf_counter() - start, images


def compare(source: Path, size: int) -> None:
    """Print one line: medians, their ratio, and the largest difference in grey levels."""
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(NUM_REPETITIONS):
            plain_out, fast_out = Path(folder, f"plain{repetition}"), Path(folder, f"fast{repetition}")
            plain_seconds, reference = seconds(lambda out=plain_out: plain(source, out, size))  # type: ignore[misc]
            fast_seconds, images = seconds(lambda out=fast_out: fast(source, out, size))  # type: ignore[misc]
            times["plain"].append(plain_seconds)
            times["fast"].append(fast_seconds)
    before, after = (statistics.median(values) for values in times.values())
    difference = np.abs(images.astype(int) - reference).max()
    print(
        f"{size:4} px  plain {before * 1000:6.0f} ms  cxrgan {after * 1000:6.0f} ms  "
        f"ratio {before / after:4.2f}  largest difference {difference}"
    )


def make_phantoms(folder: Path) -> Path:
    """48 JPEG files of about the size of the originals."""
    for index, (image, label) in enumerate(phantoms(48, 512, seed=0)):
        path = folder / "train" / label / f"{index:02}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((1600, 1280), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def main() -> None:
    beside = Path(__file__).parents[2] / "shared" / "data"
    source = Path(os.environ.get("CXRGAN_TEST_DATA", beside)) / "chest_xray_raw"
    with tempfile.TemporaryDirectory() as folder:
        if not source.is_dir():
            source = make_phantoms(Path(folder))
        files = sorted(source.rglob("*.jp*g"))
        megabytes = sum(len(path.read_bytes()) for path in files) / 1e6
        print(f"{len(files)} JPEG files, {megabytes:.1f} MB, {num_cores()} cores, crop")
        for size in SIZES:
            compare(source, size)


if __name__ == "__main__":
    main()
