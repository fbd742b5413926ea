"""Of what use generated images are: classifiers that learnt from them, tested on real patients that none has seen.

Four classifiers differ in their training images alone: the real ones, generated ones in the same balance of classes,
both, and the real ones repeated to the number of both. All make the same steps with the same settings; nothing is
chosen by validation. A generator is of use in place of the real images if the second is as good as the first, and
beside them if the third is better than the first and the fourth.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.console import ProgressBar, warn
from cxrgan.data.dataset import Dataset, load_dataset, read_manifest
from cxrgan.device import choose_device, choose_precision
from cxrgan.errors import UserError
from cxrgan.evaluation.classifier import ClassifierConfig, Examples, class_shares, fit
from cxrgan.evaluation.roc import class_auc, patient_resamples
from cxrgan.evaluation.sets import ImageSet, dataset_set, folder_set, image_size, is_generator, is_run
from cxrgan.fields import printable
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.shipped import GENERATORS
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import ARMS, BOTH, COMPARISONS, REAL, REPEATED, SYNTHETIC

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NUM_SEEDS = 3
NUM_RESAMPLES = 2000
COVERAGE = 0.95  # of every interval

Draw = Callable[[int], Examples]
"""The number of a classifier's seed -> the generated images that it learns from."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Arm:
    """What classifiers reached that learnt from the same kind of images."""

    name: str
    num_images: int
    """That each learnt from, repeated ones counted."""
    auc: Estimate
    """The mean over the seeds."""
    aucs: tuple[float, ...]
    """Of each seed."""
    std: float | None
    """Their standard deviation; None of a single one."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another, by the same resamples of the patients."""

    of: str
    against: str
    difference: Estimate
    """AUC of the one minus that of the other."""
    ratio: Estimate
    """AUC of the one over that of the other, or over 0.5 where that is less: chance is no measure."""


@dataclass(frozen=True)
class Unseen:
    """The real images that every classifier is tested on."""

    examples: Examples
    patients: "NDArray[np.int64]"
    """(N,) from 0 on: images with the same number are of one patient."""
    named: bool
    """Whether the dataset says who is on every image; an image without a patient counts as one of its own."""


@dataclass(frozen=True)
class Utility:
    """What utility.json keeps. AUC is the mean over the classes of each against the rest."""

    target: str
    """Where the generated images come from, such as `first, step 3244`."""
    data: str
    """The real images."""
    classes: tuple[str, ...]
    num_real: int
    """Real images to learn from."""
    num_synthetic: int
    """Generated images to learn from; a generator makes new ones for each seed."""
    num_test: int
    num_test_patients: int
    patients_named: bool
    """Whether the intervals are by patient; if not, images without a name count as patients of their own."""
    image_size: int
    num_seeds: int
    num_steps: int
    batch_size: int
    precision: str
    coverage: float
    """Of the intervals, which come from `num_resamples` draws of patients and seeds with replacement."""
    num_resamples: int
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    seconds: float

    def arm(self, name: str) -> Arm:
        """One of `ARMS`."""
        return next(arm for arm in self.arms if arm.name == name)

    def comparison(self, of: str, against: str) -> Comparison:
        """One of `COMPARISONS`."""
        return next(each for each in self.comparisons if (each.of, each.against) == (of, against))


def utility(
    target: Path,
    data: Path,
    *,
    num: int | None = None,
    num_seeds: int = NUM_SEEDS,
    best: bool = False,
    config: ClassifierConfig | None = None,
) -> Utility:
    """Train and test the classifiers of all arms, `num_seeds` of each.

    `target` is a generator that knows the classes of the dataset folder `data`, or a folder of images by class; it
    gives `num` images, or as many as there are real ones to learn from, in the same balance of classes. Learnt from
    are the real images of the split `train`, tested on those of `test` whose patients are in no other split.
    """
    since = time.monotonic()
    config = config or ClassifierConfig()
    if num_seeds < 1:
        raise UserError(f"cannot train with {num_seeds} seeds; give at least 1, and 3 to see how much they differ")
    dataset = load_dataset(data, "train")
    real, test = _labelled(dataset), unseen(data)
    _check_examples(data, dataset.classes, {"to learn from": real, "of unseen patients to test on": test.examples})
    asked = class_counts(real.labels, len(real) if num is None else max(num, 0))
    if not asked.all():
        raise UserError(f"{num} generated images are too few to learn every class from; give more, best thousands")
    name, draw = _synthetic(target, dataset, asked, best)
    arms, comparisons, num_synthetic = compare_arms(real, draw, test, len(dataset.classes), num_seeds, config)
    return Utility(
        target=name,
        data=dataset.name,
        classes=dataset.classes,
        num_real=len(real),
        num_synthetic=num_synthetic,
        num_test=len(test.examples),
        num_test_patients=int(test.patients.max()) + 1,
        patients_named=test.named,
        image_size=dataset.image_size,
        num_seeds=num_seeds,
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        precision=choose_precision(config.precision, choose_device(config.device)),
        coverage=COVERAGE,
        num_resamples=NUM_RESAMPLES,
        arms=arms,
        comparisons=comparisons,
        seconds=round(time.monotonic() - since, 1),
    )


def compare_arms(
    real: Examples, draw: Draw, test: Unseen, num_classes: int, num_seeds: int, config: ClassifierConfig
) -> tuple[tuple[Arm, ...], tuple[Comparison, ...], int]:
    """The arms, their comparisons, and how many generated images a classifier had."""
    shares: dict[str, list[Floats]] = {name: [] for name in ARMS}
    numbers = dict.fromkeys(ARMS, 0)
    with ProgressBar("Training classifiers", num_seeds * len(ARMS)) as bar:
        for seed in range(num_seeds):
            synthetic = draw(seed)
            both = real + synthetic
            learnt = {REAL: real, SYNTHETIC: synthetic, BOTH: both, REPEATED: real.repeated(len(both))}
            for name, examples in learnt.items():
                numbers[name] = len(examples)
                shares[name].append(class_shares(fit(examples, num_classes, config, seed), test.examples.images))
                bar.advance(text=f"{name}, seed {seed}")
    arms, comparisons = judge(shares, numbers, test)
    return arms, comparisons, numbers[SYNTHETIC]


def judge(
    shares: "Mapping[str, list[Floats]]", numbers: Mapping[str, int], test: Unseen
) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Arm -> what each of its classifiers says of the test images, (N, K) -> AUCs and comparisons with intervals.

    A resample draws patients with replacement, the same for all arms, and for each arm its seeds (Owen 2007, "The
    pigeonhole bootstrap"): an interval covers other patients and other trainings. Of so few seeds it sees their share
    of the variance a little too small, by 1/3 for three; one that lacks a class is left out.
    """
    labels = test.examples.labels
    every = np.ones((1, len(labels)))
    resamples = patient_resamples(test.patients, NUM_RESAMPLES, seed=0)
    random = np.random.default_rng(1)
    arms, drawn = [], {}
    for name, of_arm in shares.items():
        aucs = tuple(float(class_auc(each, labels, every)[0]) for each in of_arm)
        resampled = np.stack([class_auc(each, labels, resamples) for each in of_arm])  # (seeds, resamples)
        seeds = random.integers(len(of_arm), size=resampled.shape)
        drawn[name] = np.take_along_axis(resampled, seeds, axis=0).mean(0)
        std = float(np.std(aucs, ddof=1)) if len(aucs) > 1 else None
        arms.append(Arm(name, numbers[name], _estimate(float(np.mean(aucs)), drawn[name]), aucs, std))
    means = {arm.name: arm.auc.value for arm in arms}
    comparisons = [
        Comparison(
            of,
            against,
            difference=_estimate(means[of] - means[against], drawn[of] - drawn[against]),
            ratio=_estimate(means[of] / max(means[against], 0.5), drawn[of] / np.maximum(drawn[against], 0.5)),
        )
        for of, against in COMPARISONS
    ]
    return tuple(arms), tuple(comparisons)


def _estimate(value: float, resampled: "Floats") -> Estimate:
    low, high = np.nanquantile(resampled, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(value, float(low), float(high))


def unseen(data: Path) -> Unseen:
    """The labelled images of the split `test`, without patients that are in another split too.

    UserError where there are none.
    """
    entries = read_manifest(data).images
    if not any(entry.split == "test" for entry in entries):
        raise UserError(
            f"{data} has no test split, and use is told by real patients that no training saw; prepare it from a "
            "source with a folder `test`, or without splits, which are then drawn by patient"
        )
    seen = {entry.patient for entry in entries if entry.split != "test"} - {None}
    dataset, entries = load_dataset(data, "test"), tuple(entry for entry in entries if entry.split == "test")
    known = np.array([entry.patient in seen for entry in entries])
    if known.any():
        warn(f"{known.sum()} images of {data}'s test split are of patients in its other splits, and are left out")
    keep = (dataset.labels >= 0) & ~known
    names = [entry.patient or f"image {row}" for row, entry in enumerate(entries)]
    _, patients = np.unique(np.array(names)[keep], return_inverse=True)
    named = all(entry.patient for entry in entries)
    return Unseen(Examples(dataset.images[keep], dataset.labels[keep]), patients, named)


def _labelled(dataset: Dataset) -> Examples:
    keep = dataset.labels >= 0
    return Examples(dataset.images[keep], dataset.labels[keep])


def _check_examples(data: Path, classes: tuple[str, ...], parts: Mapping[str, Examples]) -> None:
    """UserError unless there are two classes at least, and images of each in every part."""
    if len(classes) < 2:
        raise UserError(f"{data} has fewer than two classes, and there is nothing to learn; use images of two or more")
    for what, examples in parts.items():
        counts = np.bincount(examples.labels, minlength=len(classes)).tolist()
        lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
        if lacking:
            raise UserError(
                f"{data} has no image of {', '.join(lacking)} {what}; use a dataset that has, or prepare more"
            )


def class_counts(labels: "NDArray[np.int64]", num: int) -> "NDArray[np.int64]":
    """How many of `num` images are to be of each class, in the balance of `labels`, to the next whole image: (K,)."""
    evenly = np.arange(num) * len(labels) // num
    return np.bincount(np.sort(labels)[evenly], minlength=labels.max() + 1)


def _synthetic(target: Path, dataset: Dataset, counts: "NDArray[np.int64]", best: bool) -> tuple[str, Draw]:
    """The name of the generated images, and how they are drawn."""
    if not (target.is_dir() or is_generator(target)):
        raise UserError(
            f"{target} is not a folder; give a run, a folder of images by class, or a shipped name: "
            + ", ".join(GENERATORS)
        )
    size = image_size(target)
    if size not in (None, dataset.image_size):
        raise UserError(
            f"{target} has {size}-pixel images, {dataset.path} has {dataset.image_size}; "
            f"prepare the dataset with --size {size}"
        )
    if is_generator(target):
        _warn_of_other_data(target, dataset)
        generator = load_generator(target, best=best)
        _check_classes(target, dataset, set(generator.classes))
        name = f"{generator.name}, step {generator.step}"
        return name, lambda seed: _made(generator, dataset.classes, counts, seed)
    images = dataset_set(target, "train") if size else folder_set(target, dataset.image_size)
    _check_classes(target, dataset, set(images.classes))
    return images.name, lambda seed: _found(images, dataset.classes, counts, seed)


def _warn_of_other_data(target: Path, dataset: Dataset) -> None:
    """A generator that has learnt from the test patients would look better than it is."""
    info = RunFolder(target).read_info() if is_run(target) else None
    differs = info.other_data(sha256=dataset.sha256, identity=dataset.identity) if info else ""
    if differs:
        warn(f"{target} was trained on other {differs} than those of {dataset.path}: it may know the test's patients")


def _check_classes(target: Path, dataset: Dataset, found: set[str]) -> None:
    """UserError unless there are images of every class."""
    if not found:
        mend = "train it with --conditional" if is_generator(target) else "put the images of each class into a folder"
        raise UserError(f"{target} knows no classes, which a classifier needs to learn; {mend}")
    lacking = [name for name in dataset.classes if name not in found]
    if lacking:
        raise UserError(
            f"{target} has no images of {printable(', '.join(lacking))}, which {dataset.path} has; "
            f"its classes are {printable(', '.join(sorted(found)))}"
        )


def _made(generator: TrainedGenerator, classes: tuple[str, ...], counts: "NDArray[np.int64]", seed: int) -> Examples:
    """Images of a generator; no latent is used twice, for another class or another classifier."""
    first, parts = seed * int(counts.sum()), []
    for name, count in zip(classes, counts.tolist(), strict=True):
        parts.append(generator.sample(count, first, name).images)
        first += count
    return Examples(np.concatenate(parts), np.repeat(np.arange(len(classes)), counts))


def _found(images: ImageSet, classes: tuple[str, ...], counts: "NDArray[np.int64]", seed: int) -> Examples:
    """Images of a folder; of a class of which it has too few, all."""
    random = np.random.default_rng(seed)
    rows = []
    for name, count in zip(classes, counts.tolist(), strict=True):
        of_class = np.flatnonzero(images.of_class(name))
        rows.append(random.permutation(of_class)[:count])
    labels = np.repeat(np.arange(len(classes)), [len(part) for part in rows])
    return Examples(images.images[np.concatenate(rows)], labels)
