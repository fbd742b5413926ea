"""What can be compared: images of a generator, a dataset folder or any folder, as uint8 arrays; or shipped features."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.console import warn
from cxrgan.data.dataset import load_dataset, read_manifest
from cxrgan.data.decode import Unusable, decode, made_grey, read_image
from cxrgan.data.prepare import decode_records
from cxrgan.data.sources.folder import folder_source
from cxrgan.errors import UserError
from cxrgan.generation.generator import is_shipped, load_generator
from cxrgan.generation.hub import is_on_hub
from cxrgan.generation.packed import is_packed
from cxrgan.generation.shipped import GENERATORS, REFERENCES, read_card, read_reference
from cxrgan.images import IMAGE_SIZES
from cxrgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLABELLED = ""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One side of a comparison."""

    images: "NDArray[np.uint8]"
    """(N, M, M) uint8; empty, (0, M, M), if only the features are known."""
    labels: "NDArray[np.str_]"
    """(N,), the class of each image; empty text if it has none."""
    name: str
    split: str | None
    known: "Mapping[str, Mapping[str, NDArray[np.float32]]]" = field(default_factory=dict)
    """Features that are already computed: SHA-256 of the network -> tap -> (N, D)."""
    origins: Sequence[str] = ()
    """Of each image its file in the source, or its seed."""
    patients: Sequence[str | None] = ()
    """Whose each image is; None where that is not known."""

    @property
    def num(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels.tolist()) - {UNLABELLED})

    def of_class(self, label: str | None) -> "NDArray[np.bool_]":
        """(N,) whether an image has this label; every image has None."""
        return np.full(len(self.labels), True) if label is None else np.asarray(self.labels == label)


def is_run(path: Path) -> bool:
    return RunFolder(path).config_file.exists()


def is_generator(path: Path) -> bool:
    return is_run(path) or is_shipped(path) or is_packed(path) or is_on_hub(path)


def is_reference(path: Path) -> bool:
    return str(path) in REFERENCES and not path.exists()


def image_size(path: Path) -> int | None:
    """The images' own size, where `path` is a generator, a reference or a dataset folder; None for other folders."""
    if is_shipped(path):
        return int(read_card(str(path))["model"]["image_size"])
    if is_reference(path):
        return int(read_card(str(path))["image_size"])
    if is_run(path):
        return RunFolder(path).read_info().config.model.image_size
    if is_generator(path):
        return load_generator(path).config.image_size
    if (path / "manifest.json").exists():
        return read_manifest(path).size
    return None


def dataset_set(path: Path, split: str) -> ImageSet:
    """The images of one split of a dataset folder."""
    dataset = load_dataset(path, split)
    names = np.array([*dataset.classes, UNLABELLED])
    entries = [entry for entry in read_manifest(path).images if entry.split == split]
    origins, patients = [entry.origin for entry in entries], [entry.patient for entry in entries]
    return ImageSet(dataset.images, names[dataset.labels], dataset.name, split, origins=origins, patients=patients)


def reference_set(name: str) -> ImageSet:
    """The real images behind shipped features."""
    reference = read_reference(name)
    nothing = np.zeros((0, reference.size, reference.size), dtype=np.uint8)
    return ImageSet(nothing, reference.labels, name, reference.split, reference.features)


def run_set(path: Path, num: int, seed: int, *, best: bool = False) -> ImageSet:
    """The images of the seeds from `seed` on, made by a run or a shipped generator."""
    generator = load_generator(path, best=best)
    samples = generator.sample(num, seed)
    name, num = f"{path.resolve().name}, step {generator.step}", len(samples)
    origins = [f"seed {seed}" for seed in samples.seeds]
    return ImageSet(samples.images, np.array(samples.labels), name, None, origins=origins, patients=[None] * num)


def folder_set(path: Path, size: int) -> ImageSet:
    """All images below a folder, copies included, cropped to size x size; the folders are the classes."""
    source = folder_source(path)
    records = sorted(source.records, key=lambda record: record.origin)
    results = [result for _, result in decode_records(records, size, "crop")]
    usable = [index for index, result in enumerate(results) if not isinstance(result, Unusable)]
    if not usable:
        raise UserError(
            f"{path} is not a run or a dataset folder, and contains no usable image; give a folder of images"
        )
    num_bad = len(results) - len(usable) + len(source.rejected)
    if num_bad:
        warn(f"{path}: {num_bad} files are not usable images and are left out")
    images = np.stack([np.asarray(results[index]) for index in usable])
    labels = np.array([records[index].label or UNLABELLED for index in usable])
    origins, patients = [records[index].origin for index in usable], [records[index].patient for index in usable]
    return ImageSet(images, labels, source.name, None, origins=origins, patients=patients)


def first_image_size(path: Path) -> int:
    """The size at which a folder's images are compared: the shorter side of the first that decodes.

    An odd side loses a pixel, and what is no size of cxrgan's becomes the nearest: 32 at least, 512 at most.
    """
    records = sorted(folder_source(path).records, key=lambda record: record.origin)
    for record in records:
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, on files that are left out anyway
                if isinstance(record.image, Path):
                    side = min(decode(read_image(record.image), IMAGE_SIZES[-1]).size)
                else:
                    side = min(made_grey(record.image.load()).size)
        except Unusable:
            continue
        return min(max(side - side % 2, IMAGE_SIZES[0]), IMAGE_SIZES[-1])
    raise UserError(f"{path} is not a run or a dataset folder, and contains no usable image; give a folder of images")


def open_pair(
    target: Path, data: Path, *, num: int | None, split: str, seed: int, best: bool = False
) -> tuple[ImageSet, ImageSet]:
    """The real images of `data` and those of `target` to compare with them, at the same size.

    A run or a shipped generator makes as many images as there are real ones, or `num`; other targets give all they
    have, or `num` of them drawn by `seed`. `best` takes a run's best checkpoint, not its newest. A plain folder is
    resized to the size of the other side, or to that of `data` if both are plain.
    """
    if num is not None and num < 1:
        raise UserError(f"cannot evaluate {num} images; give at least 1, preferably thousands")
    if seed < 0:
        raise UserError(f"--seed is {seed}, but must be 0 or more")
    for path in (target, data):
        if not (path.is_dir() or is_generator(path) or is_reference(path)):
            raise UserError(
                f"{path} is not a folder; give a run, a dataset folder, a folder of images, or a shipped "
                f"name: {', '.join(GENERATORS if path is target else REFERENCES)}"
            )
    if is_reference(target):
        raise UserError(
            f"{target} stands for real images; use it as the real side: cxrgan evaluate RUN --data {target}"
        )
    if is_generator(data):
        raise UserError(
            f"{data} is a generator, but --data must be real images: give a dataset folder or a folder of images"
        )
    sizes = image_size(target), image_size(data)
    if all(sizes) and sizes[0] != sizes[1]:
        mend = (
            "no reference is shipped for that size"
            if is_reference(data)
            else f"prepare the dataset with --size {sizes[0]}"
        )
        raise UserError(f"{target} has {sizes[0]}-pixel images, {data} has {sizes[1]}; {mend}")
    size = sizes[1] or sizes[0] or first_image_size(data)
    if is_reference(data):
        real = reference_set(str(data))
    else:
        real = dataset_set(data, split) if image_size(data) else folder_set(data, size)
    if is_generator(target):
        fake = run_set(target, num or real.num, seed, best=best)
    elif image_size(target):
        fake = dataset_set(target, split)
    else:
        fake = folder_set(target, size)
    return real, fake if num is None else draw(fake, num, seed)


def draw(images: ImageSet, num: int, seed: int) -> ImageSet:
    """`num` of the images, or all where there are fewer: drawn by `seed`, in the proportions of the classes."""
    random = np.random.default_rng(seed)
    order = random.permutation(images.num)
    order = order[np.argsort(images.labels[order], kind="stable")]  # by class, and in each at random
    evenly = np.arange(num) * images.num // num  # each class in proportion, to the next whole image
    chosen = np.sort(order[evenly] if num < images.num else order)
    return replace(
        images,
        images=images.images[chosen],
        labels=images.labels[chosen],
        origins=[images.origins[index] for index in chosen] if images.origins else (),
        patients=[images.patients[index] for index in chosen] if images.patients else (),
    )
