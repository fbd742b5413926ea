"""What comes with the package: generators to use at once, and the features of the real images that they were made from.

`tools/ship.py` writes these files from a run and its dataset; each generator has a card that says where it is from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.errors import UserError
from cxrgan.models.config import DCGANConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

GENERATORS = ("cxr-64", "cxr-128")
REFERENCES = ("kermany-64", "kermany-128")


@dataclass(frozen=True, eq=False)
class ShippedGenerator:
    """A generator of the package."""

    model: DCGANConfig
    classes: Mapping[str, int]
    step: int
    weights: "Mapping[str, Tensor]"


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
    try:
        card: dict[str, Any] = json.loads(_asset(f"{name}.json").read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"this installation has no {name}; install cxrgan again") from None
    return card


def read_generator(name: str) -> ShippedGenerator:
    """One of `GENERATORS`, its weights as float32."""
    from safetensors.torch import load

    card = read_card(name)
    tensors = load(_asset(f"{name}.safetensors").read_bytes())
    weights = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    return ShippedGenerator(DCGANConfig(**card["model"]), card["classes"], card["step"], weights)


def read_reference(name: str) -> Reference:
    """One of `REFERENCES`."""
    from safetensors.numpy import load

    card = read_card(name)
    tensors = load(_asset(f"{name}.safetensors").read_bytes())
    labels = np.array(card["classes"])[tensors.pop("labels")]
    features: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, values in tensors.items():
        network, tap = key.split("/")
        features.setdefault(network, {})[tap] = values.astype(np.float32)
    return Reference(card["image_size"], card["split"], labels, features)


def _asset(name: str) -> Traversable:
    return files("cxrgan").joinpath("assets", name)
