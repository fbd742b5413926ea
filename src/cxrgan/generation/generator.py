"""A trained run, or a generator of the package -> images and interpolations."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from cxrgan import __version__
from cxrgan.data.dataset import read_manifest
from cxrgan.device import choose_device
from cxrgan.errors import UserError
from cxrgan.generation.hub import download, is_on_hub
from cxrgan.generation.latents import MAX_SEED, great_circle, render, seed_labels, seed_latents, with_classes
from cxrgan.generation.packed import PackedGenerator, is_packed, read_folder, sha256_of
from cxrgan.generation.provenance import MAX_MIXED, MAX_TRUNCATION, Origin, shortened
from cxrgan.generation.samples import Samples
from cxrgan.generation.shipped import GENERATORS, read_generator
from cxrgan.lines import pasted
from cxrgan.models import stable
from cxrgan.models.build import build_generator
from cxrgan.models.config import ModelConfig
from cxrgan.runs.checkpoint import load_network
from cxrgan.runs.folder import RunFolder, RunInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN_LICENCE = "That of the training images, which is not known to cxrgan"


@dataclass(frozen=True, eq=False, repr=False)
class TrainedGenerator:
    """A generator with its weights; made by `load_generator`."""

    name: str
    """Of its run folder, or that it is shipped by."""
    config: ModelConfig
    network: nn.Module
    step: int
    classes: Mapping[str, int]
    """Training images of each class; empty where the generator knows no classes."""
    licence: str = UNKNOWN_LICENCE
    """What is known of the licence of the training images."""

    @cached_property
    def sha256(self) -> str:
        """Of the weights, as `packed.sha256_of` gives it: it names this generator wherever it lies."""
        return sha256_of(self.network)

    def origin(self, truncation: float = 1.0) -> Origin:
        """What its images say of it."""
        name, licence = shortened(self.name), shortened(self.licence)
        return Origin(__version__, name, self.sha256, self.step, float(truncation), licence)

    def __repr__(self) -> str:
        size = self.config.image_size
        classes = f", classes {', '.join(self.classes)}" if self.classes else ""
        return f"TrainedGenerator({self.name}: {size} x {size} pixels{classes}, step {self.step})"

    def sample(self, num: int, seed: int = 0, label: str | None = None, *, truncation: float = 1.0) -> Samples:
        """Images of the seeds `seed` to `seed + num - 1`: (num, M, M) uint8 with their classes and seeds.

        All of the class `label`, or of classes drawn as often as training had them. The image of a seed and a class is
        the same whatever else is asked for with it. `truncation`, from 0 to 2, is `stable.Truncated`'s psi: below 1 the
        images are more typical and less varied.
        """
        seeds, labels = range(seed, seed + num), self.labels(num, seed, label)
        images = self.remake(seeds, labels, truncation=truncation)
        return Samples(images, labels, tuple(seeds), self.origin(truncation))

    def labels(self, num: int, seed: int = 0, label: str | None = None) -> tuple[str, ...]:
        """The classes that `sample` gives its images; empty texts where the generator knows no classes."""
        names = list(self.classes) or [""]
        return tuple(names[index] for index in self._indices(num, seed, label))

    def remake(self, seeds: Sequence[int], labels: Sequence[str], *, truncation: float = 1.0) -> "NDArray[np.uint8]":
        """The images of seeds and classes that are known: (N, M, M) uint8. UserError for what it makes no images of."""
        indices = torch.cat([self._indices(1, seed, label or None) for seed, label in zip(seeds, labels, strict=True)])
        images: NDArray[np.uint8] = render(
            self._truncated(truncation), seed_latents(self.config, seeds, indices)
        ).numpy()
        return images

    def _truncated(self, psi: float) -> nn.Module:
        """The network, or one whose styles are truncated; UserError where it cannot be."""
        if psi == 1:
            return self.network
        if not 0 <= psi <= MAX_TRUNCATION:
            raise UserError(f"the truncation is {psi}, but must be from 0 to {MAX_TRUNCATION}; 1 is none")
        if not isinstance(self.network, stable.Generator):
            raise UserError(f"{self.name} has no styles to truncate: leave truncation out, or use a stable recipe")
        return stable.Truncated(self.network, self.config, psi)

    def mix(self, seeds: Sequence[int], label: str | None = None, *, truncation: float = 1.0) -> "NDArray[np.uint8]":
        """Every seed's layout with every seed's style, all of one class: (N * N, M, M) uint8, row by row.

        Row i has the latent of seed i at the bottom of the network, column j the style of seed j in every layer; the
        diagonal has the seeds' own images (style mixing, Karras et al. 2019).
        """
        if not 2 <= len(seeds) <= MAX_MIXED or min(seeds) < 0 or max(seeds) > MAX_SEED:
            raise UserError(f"cannot mix {tuple(seeds)}: 2 to {MAX_MIXED} seeds, each from 0 to {MAX_SEED}")
        latents = seed_latents(self.config, seeds, self._indices(1, seeds[0], label).expand(len(seeds)))
        network, num = self._truncated(truncation), len(seeds)
        if not isinstance(network, stable.Generator | stable.Truncated):
            raise UserError(f"{self.name} has no styles to mix: use a generator of a stable recipe")
        pairs = torch.cat([latents.repeat_interleave(num, 0), latents.repeat(num, 1, 1, 1)], 1)
        images: NDArray[np.uint8] = render(stable.Mixed(network), pairs).numpy()
        return images

    def _indices(self, num: int, seed: int, label: str | None) -> torch.Tensor:
        if num < 1 or not 0 <= seed <= MAX_SEED - num + 1:
            raise UserError(f"cannot make {num} images from seed {seed}: at least 1 image, a seed from 0 to {MAX_SEED}")
        if label is None:
            return seed_labels(list(self.classes.values()), range(seed, seed + num))
        if label not in self.classes:
            known = f"its classes are {', '.join(self.classes)}" if self.classes else "it was not trained by class"
            raise UserError(f"the generator makes no images of {label!r}: {known}")
        return torch.full((num,), list(self.classes).index(label))

    def interpolate(
        self, seeds: tuple[int, int], num: int, label: str | None = None, *, truncation: float = 1.0
    ) -> "NDArray[np.uint8]":
        """`num` images on the way from one seed to the other, both included: (num, M, M) uint8, all of one class.

        The way is `latents.great_circle`.
        """
        if num < 2 or seeds[0] == seeds[1] or min(seeds) < 0 or max(seeds) > MAX_SEED:
            raise UserError(
                f"cannot interpolate {seeds} in {num} images: at least 2 images, and two seeds from 0 to {MAX_SEED}"
            )
        labels = self._indices(1, seeds[0], label)
        first, last = seed_latents(replace(self.config, num_classes=0), seeds, labels).unbind()
        latents = torch.stack([great_circle(first, last, share) for share in torch.linspace(0, 1, num).tolist()])
        latents = with_classes(latents, labels.expand(num), self.config.num_classes)
        images: NDArray[np.uint8] = render(self._truncated(truncation), latents).numpy()
        return images


def load_generator(run: str | os.PathLike[str], *, best: bool = False) -> TrainedGenerator:
    """The generator of a run folder's newest checkpoint, or of the best one that `--evaluate-every` found.

    `run` may also be the name of a shipped generator, such as `cxr-64`, one on Hugging Face, `hf://OWNER/NAME` or
    `hf://OWNER/NAME@REVISION` (extra `hf`), or a folder that `cxrgan push --out` wrote. UserError when there is none or
    it is damaged.
    """
    run = os.fspath(run)
    folder = RunFolder(Path(run))
    if is_on_hub(run):
        return _unpacked(run, read_folder(download(run)))
    if is_shipped(run):
        return _unpacked(run, read_generator(run))
    if is_packed(folder.path) and not folder.config_file.exists():
        return _unpacked(folder.path.resolve().name, read_folder(folder.path))
    if not folder.path.exists():
        raise UserError(f"there is no run folder {run}; the generators that are shipped are {', '.join(GENERATORS)}")
    info = folder.read_info()
    if not folder.steps():
        raise UserError(f"{run} has no checkpoint yet; train it: {pasted('train', '--resume', run)}")
    step = folder.best_step() if best else folder.steps()[-1]
    if step is None:
        raise UserError(f"{run} has no best checkpoint: it was trained without --evaluate-every")
    return _of_run(folder, info, step)


def load_generators(run: str | os.PathLike[str]) -> Iterator[TrainedGenerator]:
    """Every generator of `run`, named as in `load_generator`: of a run folder that of each checkpoint, newest first."""
    yield load_generator(run)
    folder = RunFolder(Path(run))
    if folder.config_file.exists():
        info = folder.read_info()
        yield from (_of_run(folder, info, step) for step in folder.steps()[-2::-1])


def _of_run(folder: RunFolder, info: RunInfo, step: int) -> TrainedGenerator:
    with torch.device("meta"):  # weights that no file holds get no memory
        network = build_generator(info.config.model)
    load_network(folder.checkpoint(step), "average" if info.config.ema_halflife else "generator", network)
    name = folder.path.resolve().name
    return TrainedGenerator(name, info.config.model, _ready(network), step, info.classes, _licence(info))


def _licence(info: RunInfo) -> str:
    """What the run, or if it is an old one the dataset where it still lies, says of the images' licence."""
    terms = info.licence or ""
    if info.licence is None:
        with contextlib.suppress(UserError):
            terms = read_manifest(Path(info.data)).terms
    return f"Trained on {terms}" if terms else UNKNOWN_LICENCE


def is_shipped(run: str | Path) -> bool:
    """Whether `run` names a shipped generator, and no run folder of that name lies here."""
    return str(run) in GENERATORS and not RunFolder(Path(run)).config_file.exists()


def _unpacked(name: str, packed: PackedGenerator) -> TrainedGenerator:
    licence = packed.licence or UNKNOWN_LICENCE
    return TrainedGenerator(name, packed.model, _ready(packed.network), packed.step, packed.classes, licence)


def _ready(network: nn.Module) -> nn.Module:
    network.eval().requires_grad_(False)
    network.to(device=choose_device("auto"), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
