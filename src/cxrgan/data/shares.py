"""A dataset folder made in shares, on several machines: each a part, of which the merge makes what one command would.

A part has `images.npy` and `part.json`. Record i of all goes to share i modulo their number, so that all take equally
long. A part keeps what it knows of each of its records, and the merge goes through them all in their order again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from cxrgan.console import track
from cxrgan.data.dataset import MAX_MANIFEST_BYTES, SPLITS
from cxrgan.data.decode import Unusable
from cxrgan.data.images_file import map_images, write_images
from cxrgan.data.manifest import Facts, ImageEntry, Ledger, Manifest, RejectedEntry
from cxrgan.data.prepare import (
    Listing,
    check_room,
    list_source,
    making,
    nothing_usable,
    outcomes,
    say_which,
    warn_if_few,
)
from cxrgan.data.sources.labels import LabelTable
from cxrgan.errors import UserError
from cxrgan.fields import Fields, read_json
from cxrgan.files import check_free, write_json
from cxrgan.images import IMAGE_SIZES, Fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cxrgan.data.manifest import Outcome

FORMAT = 1
MOST_SHARES = 10_000
NAME = "part.json"
MEND = "prepare this share again"


@dataclass(frozen=True)
class Share:
    """Which part of the work: number `number`, from 1, of `of`."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST_SHARES:
            raise UserError(f"the share is {self}, but must be such as 1/4, 2/4, 3/4 or 4/4; at most {MOST_SHARES:,}")

    @classmethod
    def parse(cls, text: str) -> "Share":
        """`2/4` -> the second of four."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and len(text) < 20):
            raise UserError(f"the share is {text[:40]!r}, but must be such as 2/4: the second of four")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Part:
    """What a machine made of its share."""

    path: Path
    share: Share
    facts: Facts
    listing: str
    """SHA-256 of all records of all shares, and of what the source refuses."""
    num_records: int
    """Of all shares."""
    refused: list[RejectedEntry]
    """By the source: the same in each part."""
    records: "list[tuple[ImageEntry, str | None]]"
    """Of this share, in order; and why there are no pixels."""
    images: "NDArray[np.uint8]"
    """(N, M, M): a row for each new content of this share, in order."""

    def outcomes(self) -> "Iterator[Outcome]":
        """What `prepare` would have made of these records."""
        rows: dict[str, int] = {}
        for entry, reason in self.records:
            if reason is None:
                yield entry, self.images[rows.setdefault(entry["sha256"], len(rows))]
            else:
                yield entry, Unusable(reason)


def prepare_share(
    source: str,
    out: Path,
    share: Share,
    size: int = 64,
    fit: Fit = "crop",
    seed: int = 0,
    num: int = 2000,
    *,
    labels: LabelTable | None = None,
    patient_key: Path | None = None,
) -> Part:
    """Make the part `out` of what `prepare` would make with the same arguments. Patients need the same key."""
    listing = list_source(source, out, size, fit, seed, num, labels=labels, patient_key=patient_key)
    own = listing.records[share.number - 1 :: share.of]
    check_room(len(own), size, out)
    records: list[dict[str, Any]] = []
    with making(out) as folder:
        digest = write_images(folder, _noted(outcomes(listing, own), records), size)
        bad = [RejectedEntry(origin=each["origin"], reason=each["reason"]) for each in records if "reason" in each]
        say_which(bad + listing.rejected, listing.paths)
        part = {"format": FORMAT, "share": share.number, "num_shares": share.of, **asdict(listing.facts)}
        part |= {"listing": _digest(listing), "num_records": len(listing.records), "images_sha256": digest}
        write_json(folder / NAME, {**part, "refused": listing.rejected, "records": records})
    return read_part(out)


def merge(parts: Sequence[Path], out: Path) -> Manifest:
    """Make the dataset folder `out` of all shares of a source: byte for byte the one that `prepare` makes alone."""
    check_free(out, "the dataset")
    found = sorted(map(read_part, parts), key=lambda part: part.share.number)
    _check_whole(found)
    first = found[0]
    check_room(first.num_records, first.facts.size, out)
    with making(out) as folder:
        ledger = Ledger()
        merged = track(_in_order(found), "Merging", first.num_records)
        digest = write_images(folder, ledger.keep(merged), first.facts.size)
        ledger.rejected += first.refused
        if not ledger.images:
            raise UserError(nothing_usable(first.facts.name, ledger.rejected, {}))
        manifest = ledger.manifest(first.facts, digest)
        write_json(folder / "manifest.json", manifest)
    warn_if_few(manifest)
    return manifest


def read_part(path: Path) -> Part:
    """The part in a folder; UserError where there is none, or it says what cannot be."""
    try:
        table = read_json(path / NAME, mend=MEND, most=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path} is no part of a dataset; make one with cxrgan prepare SOURCE --share 1/4") from None
    if table.values.get("format") != FORMAT:
        raise UserError(f"{path / NAME} is not of format {FORMAT}; {MEND}")
    share = Share(table.whole("share", 1, MOST_SHARES), table.whole("num_shares", 1, MOST_SHARES))
    size = table.whole("size", IMAGE_SIZES.start, IMAGE_SIZES.stop - 1)
    facts = Facts(
        name=table.text("name"),
        size=size,
        fit=table.one_of("fit", get_args(Fit)),
        seed=table.whole("seed"),
        license=table.optional_text("license"),
        citation=table.optional_text("citation"),
    )
    num, records = table.whole("num_records"), [_record(each) for each in table.tables("records")]
    if len(records) != len(range(share.number - 1, num, share.of)):
        table.refuse("records", f"the share {share} of {num}")
    num_rows = len({entry["sha256"] for entry, reason in records if reason is None})
    return Part(
        path,
        share,
        facts,
        table.text("listing"),
        num,
        [RejectedEntry(origin=each.text("origin"), reason=each.text("reason")) for each in table.tables("refused")],
        records,
        map_images(path, num_rows, size, table.text("images_sha256"), mend=MEND),
    )


def _record(table: Fields) -> tuple[ImageEntry, str | None]:
    entry = ImageEntry(
        split=table.one_of("split", SPLITS),
        label=None if table.values.get("label") is None else table.name("label"),
        patient=table.optional_text("patient"),
        origin=table.text("origin"),
        sha256=table.text("sha256"),
    )
    return entry, table.optional_text("reason")


def _noted(results: "Iterator[Outcome]", records: list[dict[str, Any]]) -> "Iterator[NDArray[np.uint8]]":
    """The pixels of each new content; what became of every record is added to `records`."""
    seen: set[str] = set()
    for entry, result in results:
        if isinstance(result, Unusable):
            records.append({**entry, "reason": str(result)})
            continue
        records.append({**entry})
        if entry["sha256"] not in seen:
            seen.add(entry["sha256"])
            yield result


def _in_order(parts: Sequence[Part]) -> "Iterator[Outcome]":
    each = [part.outcomes() for part in parts]
    for place in range(parts[0].num_records):
        yield next(each[place % len(each)])


def _check_whole(parts: Sequence[Part]) -> None:
    """UserError unless these are all shares of the same work."""
    first = parts[0]
    for part in parts[1:]:
        if (part.share.of, part.facts, part.listing) != (first.share.of, first.facts, first.listing):
            raise UserError(
                f"{first.path} and {part.path} are not of the same whole: the source, the settings, the number of "
                "shares and, for DICOM, the --patient-key must be the same; prepare one of them again"
            )
    numbers = [part.share.number for part in parts]
    missing = sorted(set(range(1, first.share.of + 1)) - set(numbers))
    if missing:
        raise UserError(f"the shares {', '.join(map(str, missing[:5]))} of {first.share.of} are missing; name them too")
    if len(numbers) > first.share.of:
        raise UserError(f"{len(numbers)} parts are named, but there are {first.share.of} shares; name each once")


def _digest(listing: Listing) -> str:
    known = [(each.split, each.label, each.patient, each.origin) for each in listing.records]
    return hashlib.sha256(json.dumps([known, listing.rejected]).encode()).hexdigest()
