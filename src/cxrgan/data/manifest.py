"""manifest.json of a dataset folder: what became of each image of the source, and the counts of it."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, TypedDict

from cxrgan.data.dataset import FORMAT
from cxrgan.data.decode import Unusable
from cxrgan.images import Fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Outcome = tuple["ImageEntry", NDArray[np.uint8] | Unusable]
    """What is known of an image of the source, and its (size, size) pixels or why there are none."""

UNLABELLED = "unlabelled"
NUM_SHOWN = 5  # reasons in the summary


class ImageEntry(TypedDict):
    """Row i of images.npy."""

    split: str
    label: str | None
    patient: str | None
    origin: str
    sha256: str


class RejectedEntry(TypedDict):
    """A file that is not in the dataset, and why."""

    origin: str
    reason: str


class DuplicateEntry(TypedDict):
    """A file left out because its bytes are those of an image in the dataset."""

    origin: str
    same_as: str
    differs: list[str]
    """Which of split, label and patient differ between the two: a sign of leaks and wrong labels."""


class OverlapEntry(TypedDict):
    """Patients who are in both of two splits."""

    splits: list[str]
    patients: list[str]


class Manifest(TypedDict):
    """The content of manifest.json; counts and num_patients have the splits that hold images."""

    format: int
    name: str
    size: int
    fit: Fit
    seed: int
    classes: list[str]
    images_sha256: str
    counts: dict[str, dict[str, int]]
    num_patients: dict[str, int]
    patient_overlap: list[OverlapEntry]
    license: str | None
    citation: str | None
    rejected: list[RejectedEntry]
    duplicates: list[DuplicateEntry]
    images: list[ImageEntry]


@dataclass(frozen=True)
class Facts:
    """What a manifest says of the whole."""

    name: str
    size: int
    fit: Fit
    seed: int
    license: str | None
    citation: str | None


@dataclass
class Ledger:
    """What became of the images of a source: of those with the same bytes, the first is kept."""

    images: list[ImageEntry] = field(default_factory=list)
    rejected: list[RejectedEntry] = field(default_factory=list)
    duplicates: list[DuplicateEntry] = field(default_factory=list)

    def keep(self, outcomes: "Iterable[Outcome]") -> "Iterator[NDArray[np.uint8]]":
        """The pixels (size, size) of those that are kept, as they come; row i is of entry i of `images`."""
        firsts: dict[str, ImageEntry] = {}
        for entry, result in outcomes:
            if isinstance(result, Unusable):
                self.rejected.append(RejectedEntry(origin=entry["origin"], reason=str(result)))
            elif entry["sha256"] in firsts:
                self.duplicates.append(_duplicate(entry, firsts[entry["sha256"]]))
            else:
                firsts[entry["sha256"]] = entry
                self.images.append(entry)
                yield result

    def manifest(self, facts: Facts, images_sha256: str) -> Manifest:
        """The manifest of the images that were kept, in a file of this SHA-256."""
        counts: dict[str, Counter[str]] = {}
        patients: dict[str, set[str]] = {}
        for entry in self.images:
            split = entry["split"]
            counts.setdefault(split, Counter())[entry["label"] or UNLABELLED] += 1
            patients.setdefault(split, set()).update([entry["patient"]] if entry["patient"] else [])
        return Manifest(
            format=FORMAT,
            name=facts.name,
            size=facts.size,
            fit=facts.fit,
            seed=facts.seed,
            classes=sorted({entry["label"] for entry in self.images if entry["label"]}),
            images_sha256=images_sha256,
            counts={split: dict(count) for split, count in counts.items()},
            num_patients={split: len(names) for split, names in patients.items()},
            patient_overlap=[
                OverlapEntry(splits=[one, other], patients=sorted(patients[one] & patients[other]))
                for one, other in combinations(patients, 2)
                if patients[one] & patients[other]
            ],
            license=facts.license,
            citation=facts.citation,
            rejected=sorted(self.rejected, key=lambda item: item["origin"]),
            duplicates=self.duplicates,
            images=self.images,
        )


def summary(manifest: Manifest) -> str:
    """What is in a dataset and what was left out, in a few lines for people."""
    size = manifest["size"]
    lines = [f"{manifest['name']}: {len(manifest['images'])} images, {size} x {size} pixels ({manifest['fit']})"]
    for split, counts in manifest["counts"].items():
        classes = ", ".join(f"{count} {label}" for label, count in counts.items())
        num_patients = manifest["num_patients"][split]
        lines.append(f"  {split:5} {sum(counts.values()):6}: {classes}; named patients: {num_patients}")
    for overlap in manifest["patient_overlap"]:
        both, patients = " and ".join(overlap["splits"]), overlap["patients"]
        lines.append(f"named patients in both {both}: {len(patients)}, such as {patients[0]}")
    duplicates = manifest["duplicates"]
    if duplicates:
        crossing = sum(bool(duplicate["differs"]) for duplicate in duplicates)
        lines.append(
            f"byte-identical copies left out: {len(duplicates)} ({crossing} of them with another split, label or "
            "patient)"
        )
    rejected = manifest["rejected"]
    if rejected:
        lines.append(f"files left out: {len(rejected)}")
        reasons = Counter(item["reason"] for item in rejected).most_common()
        first = {item["reason"]: item["origin"] for item in reversed(rejected)}
        lines += [f"  {count}: {reason} ({first[reason]})" for reason, count in reasons[:NUM_SHOWN]]
        if len(reasons) > NUM_SHOWN:
            lines.append(f"  and for {len(reasons) - NUM_SHOWN} other reasons, in manifest.json")
    return "\n".join(lines)


def _duplicate(entry: ImageEntry, first: ImageEntry) -> DuplicateEntry:
    pairs = {key: (entry[key], first[key]) for key in ("split", "label", "patient")}
    differs = [key for key, (mine, other) in pairs.items() if mine != other]
    return DuplicateEntry(origin=entry["origin"], same_as=first["origin"], differs=differs)
