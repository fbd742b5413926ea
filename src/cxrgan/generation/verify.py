"""Proof that files of generated images are what they say: each is made again from its seeds, and compared."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxrgan.errors import UserError
from cxrgan.generation.difference import ROUNDING_LEVELS, difference
from cxrgan.generation.generator import UNKNOWN_LICENCE, TrainedGenerator, load_generators
from cxrgan.generation.provenance import Origin, shortened
from cxrgan.generation.readers import Picture, read_picture
from cxrgan.generation.shipped import GENERATORS
from cxrgan.images import GAP, grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_AT_ONCE = 64  # images, which are rendered together

Outcome = Literal["proven", "differs", "no provenance", "unknown generator", "unreadable"]


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a file."""

    file: Path
    outcome: Outcome
    why: str


class Shelf:
    """Generators by the SHA-256 of their weights: those of the RUN `given` and the shipped ones, loaded when needed."""

    def __init__(self, given: str | Path | None = None) -> None:
        self._known: dict[str, TrainedGenerator] = {}
        self._unopened = self._open([*([given] if given is not None else []), *GENERATORS])
        if given is not None:
            self._add(next(self._unopened))  # a mistake in its name shows at once

    def find(self, sha256: str) -> TrainedGenerator | None:
        """The generator with these weights; None where there is none."""
        while sha256 not in self._known:
            generator = next(self._unopened, None)
            if generator is None:
                return None
            self._add(generator)
        return self._known[sha256]

    def _add(self, generator: TrainedGenerator) -> None:
        self._known.setdefault(generator.sha256, generator)

    @staticmethod
    def _open(runs: Iterable[str | Path]) -> Iterator[TrainedGenerator]:
        for run in runs:
            yield from load_generators(run)


def verify(files: Iterable[Path], generator: str | Path | None = None) -> Iterator[Verdict]:
    """What is to be said of each file, in their order; `generator` is a RUN to look at before the shipped ones.

    UserError where that cannot be loaded.
    """
    shelf = Shelf(generator)
    waiting: list[tuple[Path, Picture | UserError]] = []
    for file in files:
        waiting.append((file, _read(file)))
        if sum(len(each.images) for _, each in waiting if isinstance(each, Picture)) >= NUM_AT_ONCE:
            yield from _judge_together(waiting, shelf)
            waiting = []
    yield from _judge_together(waiting, shelf)


def _read(file: Path) -> Picture | UserError:
    try:
        return read_picture(file)
    except UserError as error:
        return error


def _judge_together(read: Sequence[tuple[Path, Picture | UserError]], shelf: Shelf) -> Iterator[Verdict]:
    made = _make_again([picture for _, picture in read if isinstance(picture, Picture)], shelf)
    for file, picture in read:
        if isinstance(picture, UserError):
            yield Verdict(file, "unreadable", str(picture))
        elif picture.origin is None:
            yield Verdict(file, "no provenance", "it does not say what it was made from, as files of cxrgan do")
        elif (generator := shelf.find(picture.origin.sha256)) is None:
            yield Verdict(file, "unknown generator", _unknown(picture.origin))
        else:
            difference, note = compare(picture, made[id(picture)], generator)
            facts = f"{generator.name}, step {generator.step}, {_seeds(picture)}"
            said = f"{facts}: {difference}" if difference else f"{facts}{note}"
            yield Verdict(file, "differs" if difference else "proven", said)


def _make_again(pictures: Iterable[Picture], shelf: Shelf) -> "dict[int, NDArray[np.uint8] | UserError]":
    """`id` of each picture whose generator is known -> what that makes of its seeds, (N, H, W), or why it cannot."""
    groups: dict[tuple[str, float], list[Picture]] = defaultdict(list)
    for picture in pictures:
        if picture.origin is not None and shelf.find(picture.origin.sha256) is not None:
            groups[picture.origin.sha256, picture.origin.truncation].append(picture)
    made: dict[int, NDArray[np.uint8] | UserError] = {}
    for (sha256, truncation), group in groups.items():
        generator = shelf.find(sha256)
        assert generator is not None
        sheets = [picture for picture in group if picture.shows in ("interpolation", "mixture")]
        others = [picture for picture in group if picture.shows not in ("interpolation", "mixture")]
        made |= {id(picture): _sheet(generator, truncation, picture) for picture in sheets}
        made |= {id(p): images for p, images in zip(others, _images(generator, truncation, others), strict=True)}
    return made


def _images(
    generator: TrainedGenerator, truncation: float, pictures: Sequence[Picture]
) -> "list[NDArray[np.uint8] | UserError]":
    """The images of pictures of the same generator, in one go; one by one where some of them cannot be made."""
    if not pictures:
        return []
    seeds = [seed for picture in pictures for seed in picture.seeds]
    labels = [label for picture in pictures for label in picture.labels]
    try:
        images = generator.remake(seeds, labels, truncation=truncation)
    except UserError as error:
        if len(pictures) == 1:
            return [error]
        return [made for picture in pictures for made in _images(generator, truncation, [picture])]
    parts = np.split(images, np.cumsum([len(picture.seeds) for picture in pictures])[:-1])
    return [
        grid(part)[None] if picture.shows == "grid" else part for picture, part in zip(pictures, parts, strict=True)
    ]


def _sheet(generator: TrainedGenerator, truncation: float, picture: Picture) -> "NDArray[np.uint8] | UserError":
    """An interpolation, or a mixture."""
    size, (height, width) = generator.config.image_size, picture.images.shape[1:]
    is_strip = height == size + 2 * GAP  # nothing else says how many images there are to be made
    num, label = (width - GAP) // (size + GAP) if is_strip else 2, picture.labels[0] or None
    try:
        if picture.shows == "mixture":
            images = generator.mix(picture.seeds, label, truncation=truncation)
        else:
            first, last = picture.seeds
            images = generator.interpolate((first, last), num, label, truncation=truncation)
    except UserError as error:
        return error
    return grid(images, columns=num)[None]


def compare(picture: Picture, made: "NDArray[np.uint8] | UserError", generator: TrainedGenerator) -> tuple[str, str]:
    """How a picture differs from what the generator makes of its seeds; if it does not, nothing, and a note.

    What it says besides must hold too: the step, the licence where both are known, and what a reader found changed.
    """
    if isinstance(made, UserError):
        return f"the generator does not make what it says: {made}", ""
    origin, licence = picture.origin, shortened(generator.licence)
    assert origin is not None
    changed = [picture.changed] if picture.changed else []
    if origin.step != generator.step:
        changed.append(f"it says step {origin.step}")
    if origin.licence != licence and UNKNOWN_LICENCE not in (origin.licence, licence):
        changed.append(f"it names another licence than the generator, which has: {licence}")
    pixels = [difference(image, again) for image, again in zip(picture.images, made, strict=True)]
    wrong = [index for index, found in enumerate(pixels) if found]
    if wrong:
        which = f"{len(wrong)} of {len(pixels)} images differ, first that of seed {picture.seeds[wrong[0]]}: "
        changed.append((which if len(pixels) > 1 else "") + pixels[wrong[0]])
    num = int((picture.images != made).sum()) if not wrong else 0
    rounded = f"; the same up to rounding: {num} of {made.size} pixels differ by {ROUNDING_LEVELS} grey level"
    return "; ".join(changed), rounded if num else "; the same pixels"


def _unknown(origin: Origin) -> str:
    return (
        f"it says {origin.generator}, step {origin.step}, but no shipped generator has these weights, nor has one that "
        "was given; name its run with --generator RUN, if that still has the checkpoint"
    )


def _seeds(picture: Picture) -> str:
    classes = ", ".join(sorted(set(picture.labels) - {""}))
    first, last = picture.seeds[0], picture.seeds[-1]
    return (f"seed {first}" if first == last else f"seeds {first} to {last}") + (f", {classes}" if classes else "")
