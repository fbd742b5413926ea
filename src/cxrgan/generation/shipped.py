"""What comes with the package: generators to use at once, and the features of the real images that they were made from.

`tools/ship.py` writes these files from a run and its dataset; each generator has a card that says where it is from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.errors import UserError
from cxrgan.fields import Fields, read_bytes, read_json
from cxrgan.generation.packed import PackedGenerator, read_packed
from cxrgan.tensors import parse_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

GENERATORS = ("cxr-64", "cxr-128", "cxr-256")
REFERENCES = ("kermany-64", "kermany-128", "kermany-256")
ASSETS = Path(__file__).parents[1] / "assets"
MAX_ASSET_BYTES = 2**25
MEND = "install cxrgan again"


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of real images, in place of the images."""

    size: int
    """Pixels a side of the images."""
    split: str
    labels: "NDArray[np.str_]"
    """(N,), the class of each image."""
    features: "Mapping[str, Mapping[str, NDArray[np.float32]]]"
    """SHA-256 of the network -> tap -> (N, D)."""


def read_card(name: str) -> dict[str, Any]:
    """All that is said of a shipped generator or reference; UserError when it is not there."""
    return _card(name).values


def read_generator(name: str) -> PackedGenerator:
    """One of `GENERATORS`."""
    return read_packed(ASSETS / f"{name}.json", ASSETS / f"{name}.safetensors", mend=MEND)


def read_reference(name: str) -> Reference:
    """One of `REFERENCES`."""
    card, tensors = _card(name), _tensors(name)
    labels = np.array(card.names("classes"))[tensors.pop("labels")]
    features: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, values in tensors.items():
        network, tap = key.split("/")
        features.setdefault(network, {})[tap] = values.astype(np.float32)
    return Reference(card.whole("image_size"), card.text("split"), labels, features)


def _card(name: str) -> Fields:
    try:
        return read_json(ASSETS / f"{name}.json", mend=MEND)
    except FileNotFoundError:
        raise UserError(f"this installation has no {name}; {MEND}") from None


def _tensors(name: str) -> "dict[str, NDArray[Any]]":
    file = ASSETS / f"{name}.safetensors"
    try:
        return parse_tensors(read_bytes(file, MAX_ASSET_BYTES, mend=MEND))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"cannot read {file}: {error}; {MEND}") from error
