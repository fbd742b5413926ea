"""A packed generator, as it is shipped and shared: a card in JSON that says what it is, and weights as safetensors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from cxrgan.errors import UserError
from cxrgan.fields import read_json
from cxrgan.models.build import build_generator
from cxrgan.models.config import ModelConfig
from cxrgan.settings import from_dict
from cxrgan.tensors import layout_of, read_tensors

CARD, WEIGHTS = "card.json", "model.safetensors"
"""The two files of a folder that make it a packed generator."""
MEND = "get the folder again, or pack the run again: cxrgan push"


@dataclass(frozen=True, eq=False)
class PackedGenerator:
    """What is needed to make images."""

    model: ModelConfig
    network: nn.Module
    """In float32, on the CPU."""
    classes: Mapping[str, int]
    """Training images of each class, in the order of the labels; empty without classes."""
    step: int
    licence: str
    """What the card says of it; empty where it says nothing."""


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a packed generator."""
    return (folder / CARD).exists()


def read_folder(folder: Path) -> PackedGenerator:
    """The packed generator of a folder; UserError where it is none or damaged. Nothing of it is run."""
    return read_packed(folder / CARD, folder / WEIGHTS, mend=MEND)


def read_packed(card_file: Path, weights_file: Path, *, mend: str) -> PackedGenerator:
    """A generator from its card and its weights of float16 or float32; UserError where the two are not as they must be.

    What the card does not describe is not read, and gets no memory.
    """
    try:
        card = read_json(card_file, mend=mend)
        model = from_dict(card.table("model").values, ModelConfig(), where=f"{card.where}, model")
        classes = card.counts("classes")
        if len(classes) != model.num_classes or min(classes.values(), default=1) < 1:
            card.refuse("classes", f"counts of at least 1 of num_classes, {model.num_classes}, classes")
        with torch.device("meta"):
            network = build_generator(model)
        arrays = read_tensors(weights_file, layout_of(network.state_dict()), mend=mend, halves=True)
    except FileNotFoundError as error:
        raise UserError(f"there is no {error.filename}; {mend}") from error
    weights = {name: torch.tensor(array) for name, array in arrays.items()}
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise UserError(f"{weights_file} is damaged: weights are no finite numbers; {mend}")
    network.load_state_dict(weights, assign=True)
    return PackedGenerator(model, network, classes, card.whole("step"), card.optional_text("licence") or "")


def encode_weights(network: nn.Module, *, half: bool) -> bytes:
    """The weights file of a generator, of float16 if `half`, else as they are."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return save({name: t.half() if half and t.is_floating_point() else t for name, t in state.items()})


def sha256_of(network: nn.Module) -> str:
    """SHA-256 of a network's weights as they are used: names, kinds, shapes and values, in the order of the names.

    The same for every file and folder that gives these weights; float16 files give others than the float32 they are of.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
