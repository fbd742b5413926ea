"""What generated images say of themselves: the generator that made them, and from which seeds. To JSON, and back.

`cxrgan verify` proves it: a generator that is known by the hash of its weights makes the images again.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from cxrgan.errors import UserError
from cxrgan.fields import Fields, is_name, parse_json, printable
from cxrgan.images import NUM_SHOWN, SYNTHETIC

KEYWORD = "cxrgan"
"""Of the JSON among the texts of a PNG; the private creator in DICOM."""
FORMAT = 1
MAX_CHARACTERS = 2**16  # of the JSON; that of a grid of 64 images has some thousands
MAX_TEXT = 1000  # characters of a name or a licence
MAX_TRUNCATION = 2
MAX_MIXED = 16  # seeds of a mixture
MEND = "ask whoever made the file for another, or make the image again"

Shows = Literal["image", "grid", "interpolation", "mixture"]


@dataclass(frozen=True)
class Origin:
    """The generator of some images, and how it was asked for them."""

    cxrgan: str
    """The version."""
    generator: str
    """Its name: of a run folder, of a shipped one, or hf://OWNER/NAME."""
    sha256: str
    """Of its weights as they are used (`packed.sha256_of`), 64 hexadecimal digits."""
    step: int
    """Steps that it was trained for."""
    truncation: float
    licence: str
    """What is known of the licence of the training images, which the weights and images may be under."""

    @property
    def text(self) -> str:
        """As JSON, for files that keep seeds and classes elsewhere."""
        return _encode({**_HEAD, **asdict(self)})


@dataclass(frozen=True)
class Provenance:
    """All that is needed to make a picture again."""

    origin: Origin
    shows: Shows
    """One image, a `grid` of several, an `interpolation` from the first seed to the second, or a `mixture` of all."""
    seeds: tuple[int, ...]
    labels: tuple[str, ...]
    """The class of each seed; empty texts where the generator knows no classes."""

    @property
    def text(self) -> str:
        """As one line of JSON, in ASCII."""
        return _encode(
            {**_HEAD, **asdict(self.origin), "shows": self.shows, "seeds": self.seeds, "labels": self.labels}
        )

    @property
    def png_texts(self) -> dict[str, str]:
        """Keyword -> text of a PNG: the standard's own keywords for people, and the JSON."""
        return {
            "Description": SYNTHETIC,
            "Software": f"cxrgan {self.origin.cxrgan}",
            "Source": printable(self.sentence),
            "Copyright": printable(self.origin.licence),
            KEYWORD: self.text,
        }

    @property
    def sentence(self) -> str:
        """The same in words, such as `generator cxr-64, step 3244, seed 5, class NORMAL, truncation 1`."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        classes = sorted(set(self.labels) - {""})
        named = f", class{'es' * (len(classes) > 1)} {', '.join(classes)}" if classes else ""
        origin = self.origin
        return f"generator {origin.generator}, step {origin.step}, {seeds}{named}, truncation {origin.truncation:g}"


_HEAD = {"format": FORMAT, "synthetic": True}


def png_texts(origin: Origin | None, shows: Shows, seeds: Sequence[int], labels: Sequence[str]) -> dict[str, str]:
    """Keyword -> text of a PNG of these images; where `origin` is not known, that it is synthetic and no more."""
    if origin is None:
        return {"Description": SYNTHETIC}
    return Provenance(origin, shows, tuple(seeds), tuple(labels)).png_texts


def parse_provenance(text: str, where: str) -> Provenance:
    """What `Provenance.text` wrote, from a file that may come from anywhere; UserError where it is none."""
    fields = _decode(text, where)
    seeds, labels = fields.values.get("seeds"), fields.values.get("labels")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        fields.refuse("seeds", "a list of whole numbers")
    if not isinstance(labels, list) or not all(isinstance(label, str) and is_label(label) for label in labels):
        fields.refuse("labels", "a list of classes")
    shows: Shows = fields.one_of("shows", get_args(Shows))
    of_grid = min(len(seeds), NUM_SHOWN)
    of_mixture = max(2, min(len(seeds), MAX_MIXED))
    wanted = {"image": (1, 1), "interpolation": (2, 1), "grid": (of_grid, of_grid), "mixture": (of_mixture, 1)}
    if (len(seeds), len(labels)) != wanted[shows]:
        fields.refuse("seeds", f"those of a picture that shows {shows}, as the labels must be")
    return Provenance(_origin(fields), shows, tuple(seeds), tuple(labels))


def parse_origin(text: str, where: str) -> Origin:
    """What `Origin.text` wrote; UserError where it is none."""
    return _origin(_decode(text, where))


def is_label(text: str) -> bool:
    """Whether a text can be a class, or that of a generator without classes."""
    return text == "" or is_name(text)


def shortened(text: str) -> str:
    """A name or a licence, no longer than is read back."""
    return textwrap.shorten(text, MAX_TEXT, placeholder=" ...")


def _encode(table: dict[str, Any]) -> str:
    return json.dumps(table, separators=(",", ":"))


def _decode(text: str, where: str) -> Fields:
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where} has {len(text):,} characters, more than the {MAX_CHARACTERS:,} that are read; {MEND}")
    try:
        values = parse_json(text)
    except ValueError as error:
        raise UserError(f"cannot read {where}: {error}; {MEND}") from error
    if not isinstance(values, dict):
        raise UserError(f"cannot read {where}: it is no table {{...}}; {MEND}")
    fields = Fields(values, where, MEND)
    fields.whole("format", FORMAT, FORMAT)
    if values.get("synthetic") is not True:
        fields.refuse("synthetic", "true")
    return fields


def _origin(fields: Fields) -> Origin:
    return Origin(
        cxrgan=_short(fields, "cxrgan"),
        generator=_short(fields, "generator"),
        sha256=_digest(fields, "sha256"),
        step=fields.whole("step"),
        truncation=fields.number("truncation", 0, MAX_TRUNCATION),
        licence=_short(fields, "licence"),
    )


def _short(fields: Fields, name: str) -> str:
    text = fields.text(name)
    return text if len(text) <= MAX_TEXT else fields.refuse(name, f"a text of at most {MAX_TEXT} characters")


def _digest(fields: Fields, name: str) -> str:
    text = fields.text(name)
    return text if len(text) == 64 and set(text) <= set("0123456789abcdef") else fields.refuse(name, "a SHA-256")
