"""Generated images for the page: made by one thread at a time, sixteen at once, and kept for the next who asks."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.generation.latents import CHUNK, MAX_SEED
from cxrgan.generation.provenance import Provenance
from cxrgan.generation.writers.dicom import require_pydicom, secondary_capture
from cxrgan.images import encode_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Block = tuple[NDArray[np.uint8], tuple[str, ...]]

MOST_BLOCKS = 128  # in memory, of sixteen images each: 128 MiB at 256 pixels
MOST_WAITING = 64  # visitors; a pass takes some hundredths of a second
PATIENCE = 20.0  # seconds that one of them waits at most

Made = TypeVar("Made")


class Busy(Exception):
    """Too many ask at once: come again in a second."""


class Darkroom:
    """Makes images in turn, and keeps those that were made last."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._blocks: OrderedDict[tuple[str, str | None, float, int], Block] = OrderedDict()

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """What `make` returns, when it is this caller's turn; `Busy` where too many wait already."""
        if not self._waiting.acquire(blocking=False):
            raise Busy
        try:
            if not self._turn.acquire(timeout=PATIENCE):
                raise Busy
            try:
                return make()
            finally:
                self._turn.release()
        finally:
            self._waiting.release()

    def image(
        self, generator: TrainedGenerator, seed: int, label: str | None, truncation: float
    ) -> "tuple[NDArray[np.uint8], str]":
        """The image (M, M) uint8 of a seed, as `generator.sample` makes it, and its class."""
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"there is no seed {seed}: it must be from 0 to {MAX_SEED}")
        first = seed - seed % CHUNK
        key = (generator.sha256, label, truncation, first)
        block = self._blocks.get(key) or self.in_turn(lambda: self._made(generator, key))
        return block[0][seed - first], block[1][seed - first]

    def _made(self, generator: TrainedGenerator, key: tuple[str, str | None, float, int]) -> "Block":
        _, label, truncation, first = key
        if key not in self._blocks:
            samples = generator.sample(CHUNK, first, label, truncation=truncation)
            self._blocks[key] = samples.images, samples.labels
            while len(self._blocks) > MOST_BLOCKS:
                self._blocks.popitem(last=False)
        return self._blocks[key]


def as_png(image: "NDArray[np.uint8]", provenance: Provenance) -> bytes:
    """The bytes of a PNG that says what it was made from, as `cxrgan generate` writes it."""
    return encode_png(image, texts=provenance.png_texts)


def as_dicom(image: "NDArray[np.uint8]", provenance: Provenance) -> bytes:
    """The bytes of a DICOM file, as `cxrgan generate --format dicom` writes it; UserError without pydicom."""
    require_pydicom()
    content = io.BytesIO()
    secondary_capture(image, provenance).save_as(content, enforce_file_format=True)
    return content.getvalue()
