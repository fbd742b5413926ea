"""The reader studies that are open on the page, and the file of each reader's answers."""

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrgan.data.dataset import load_dataset, load_held_out
from cxrgan.errors import UserError
from cxrgan.evaluation.reader_study import (
    Item,
    Kind,
    Score,
    as_csv,
    draw_study,
    read_answers,
    score,
    write_answers,
)
from cxrgan.fields import is_name, shown
from cxrgan.web.catalogue import Catalogue
from cxrgan.web.pictures import Darkroom

FOLDER = "reader-studies"
MOST_OPEN = 64


@dataclass(frozen=True)
class Study:
    """Which images a reader sees; the same words give the same images in the same order."""

    reader: str
    dataset: str
    generator: str
    num: int
    seed: int


class Session:
    """A study as one reader has it open."""

    def __init__(self, study: Study, items: list[Item], file: Path) -> None:
        self.study, self.items, self.file = study, items, file
        self.answers = read_answers(file, items)
        self._lock = threading.Lock()

    @property
    def place(self) -> int | None:
        """Of the image that is shown now, the first without an answer; None at the end."""
        return next((place for place in range(len(self.items)) if place not in self.answers), None)

    def answer(self, place: int, kind: Kind) -> None:
        """Keep an answer, on disk before the next image is shown; one that was given stays."""
        with self._lock:
            if place == self.place:
                self.answers[place] = kind
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_answers(self.file, self.items, self.answers)

    def score(self) -> Score:
        """At the end alone."""
        self._check_ended()
        return score(self.items, self.answers)

    def csv(self) -> str:
        """At the end alone: it holds the truth."""
        self._check_ended()
        return as_csv(self.items, self.answers)

    def _check_ended(self) -> None:
        if self.place is not None:
            raise UserError("the truth is told at the end: answer all images first")


class Studies:
    """Opens studies; an open one is known by a key that tells nothing of it."""

    def __init__(self, catalogue: Catalogue, darkroom: Darkroom) -> None:
        self._catalogue, self._darkroom = catalogue, darkroom
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, study: Study) -> str:
        """The key of a study, drawn anew or where its reader left it; UserError where it cannot be."""
        if not is_name(study.reader) or study.reader.startswith("."):
            raise UserError(f"{shown(study.reader)} cannot name a reader: use letters, digits, - and _")
        key = hashlib.sha256(json.dumps(asdict(study)).encode()).hexdigest()[:20]
        with self._lock:
            if key not in self._open:
                self._open[key] = self._drawn(study, key)
            self._open.move_to_end(key)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return key

    def session(self, key: str) -> Session:
        """An open study; UserError for a key that is none."""
        try:
            return self._open[key]
        except KeyError:
            raise UserError("this study is not open any more; begin it again, the answers are kept") from None

    def _drawn(self, study: Study, key: str) -> Session:
        path = self._catalogue.dataset(study.dataset)
        dataset = load_held_out(path) or load_dataset(path)  # unseen by the generator, where there are such
        generator = self._catalogue.generator(study.generator)
        items = self._darkroom.in_turn(lambda: draw_study(dataset, generator, study.num, study.seed))
        return Session(study, items, self._catalogue.root / FOLDER / f"{study.reader}-{key[:8]}.csv")
