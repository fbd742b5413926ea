"""The images of each step: all held on the device where they fit, else read from the disk one step ahead."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cxrgan.data.dataset import Dataset, batch_indices
from cxrgan.device import Device, free_memory
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.distributed import ALONE, Processes
from cxrgan.training.draws import to_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARE_OF_FREE = 4  # images are held where they take at most this part of the free memory: networks and users need some
AT_ONCE = 1024  # images


@dataclass(frozen=True)
class Residency:
    """Where the images of a run are while it trains, by a rule: held if they take at most a quarter of what is free."""

    device: Device
    num_bytes: int
    """Of all images."""
    free: int
    """Bytes of memory on the device."""

    @property
    def is_held(self) -> bool:
        """Whether all images are in the memory of the device."""
        return SHARE_OF_FREE * self.num_bytes <= self.free

    def __str__(self) -> str:
        free = f"a quarter of the {self.free / 1e9:,.1f} GB that are free on {self.device}"
        how = "held in memory: at most" if self.is_held else "read from the disk one step ahead: more than"
        return f"{self.num_bytes / 1e6:,.0f} MB, {how} {free}"


def residency(dataset: Dataset, device: Device) -> Residency:
    """Where the images of a run on `device` will be, by the memory that is free now."""
    return Residency(device, dataset.images.nbytes, free_memory(device))


class Feed:
    """Callable: a step, from 1 on -> its images (B, M, M) uint8 and their labels (B,), on the device.

    B is a process's share of the batch.

    Which they are follows from the seed and the step alone, so that a resumed run sees the same.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, where: Residency, processes: Processes = ALONE) -> None:
        self.config, self.device, self.processes = config, torch.device(config.device), processes
        self._images = dataset.images
        self._labels = torch.from_numpy(dataset.labels).to(self.device)
        self._held = _held(dataset.images, self.device) if where.is_held else None
        self._reader = ThreadPoolExecutor(1, "images")
        self._ahead: tuple[int, Future[Tensor]] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        rows = to_device(torch.from_numpy(self._rows(step)), self.device)
        if self._held is not None:
            return self._held[rows], self._labels[rows]
        known = self._ahead is not None and self._ahead[0] == step
        images = self._ahead[1] if self._ahead and known else self._reader.submit(self._read, step)
        self._ahead = step + 1, self._reader.submit(self._read, step + 1)
        return images.result(), self._labels[rows]

    def _rows(self, step: int) -> "NDArray[np.int64]":
        num, config = len(self._images), self.config
        whole = batch_indices(step - 1, num_images=num, batch_size=config.batch_size, seed=config.seed)
        return self.processes.share(whole)

    def _read(self, step: int) -> Tensor:
        images = torch.from_numpy(self._images[self._rows(step)])  # these rows alone are read and copied
        return to_device(images, self.device)


def _held(images: "NDArray[np.uint8]", device: torch.device) -> Tensor:
    """All images on the device, with no second copy on the way."""
    held = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for first in range(0, len(images), AT_ONCE):
        held[first : first + AT_ONCE] = torch.tensor(images[first : first + AT_ONCE])
    return held
