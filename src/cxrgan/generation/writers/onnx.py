"""A generator as a graph for ONNX runtimes: latents in, images out, and what it is in its metadata (extra `onnx`)."""

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cxrgan.errors import RunError, UserError
from cxrgan.generation.latents import seed_latents
from cxrgan.generation.provenance import KEYWORD, Origin
from cxrgan.images import SYNTHETIC
from cxrgan.models import stable
from cxrgan.models.config import ModelConfig

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-3  # of values in [-1, 1]: an eighth of a grey level
CHECKED = ((16, 1.0), (1, 1.0), (5, 0.5))
"""Batches that are compared with PyTorch: how many seeds, all classes in turn, and their truncation."""


@dataclass(frozen=True)
class Graph:
    """A checked ONNX model."""

    content: bytes
    """Of the file, weights and all."""
    inputs: tuple[str, ...]
    """`latents`; `label` where the generator knows classes; `truncation` where it has styles."""
    difference: float
    """The greatest from PyTorch's images, of values in [-1, 1], over the batches of `CHECKED`."""


def require_onnx() -> None:
    """UserError where the extra is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"export needs {error.name}; in the checkout, run: pip install '.[onnx]'") from error


def to_onnx(network: nn.Module, config: ModelConfig, classes: Sequence[str], origin: Origin) -> Graph:
    """The graph of a generator; RunError where its images are not those of PyTorch.

    Inputs: `latents` (N, L_ch, L_w, L_w) float32, standard normal; `label` (N,) int64, an index into `classes`;
    `truncation` () float32, the psi of `stable.Truncated`, 1 for none. Output: `image` (N, M, M) float32 in [-1, 1],
    grey; `images.to_uint8` makes its pixels. N is any number, and nothing is random.
    """
    require_onnx()
    network = copy.deepcopy(network).cpu().eval()
    inputs = _inputs(network, config, range(2), 1.0)
    model = _exported(ImageOf(network, config), inputs)
    model.producer_name, model.producer_version, model.doc_string = "cxrgan", origin.cxrgan, SYNTHETIC
    texts = {"licence": origin.licence, "classes": json.dumps(list(classes)), KEYWORD: origin.text}
    for key, value in texts.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    difference = greatest_difference(content, network, config)
    if not difference <= TOLERANCE:  # nor NaN
        raise RunError(
            f"the graph's images differ from PyTorch's by up to {difference:.2g}, and only {TOLERANCE:g} of values in "
            "[-1, 1] is rounding, so nothing was written; try other versions of torch, onnxscript and onnxruntime"
        )
    return Graph(content, tuple(inputs), difference)


class ImageOf(nn.Module):
    """What the graph computes."""

    own: Tensor
    means: Tensor

    def __init__(self, network: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("own", torch.eye(config.num_classes))
        if isinstance(network, stable.Generator):
            self.register_buffer("means", stable.Truncated(network, config, 1.0).means)

    def forward(self, latents: Tensor, label: Tensor | None = None, truncation: Tensor | None = None) -> Tensor:
        """Latents (N, L_ch, L_w, L_w), classes (N,), psi () -> grey images (N, M, M) in [-1, 1]."""
        one_hot = None
        if label is not None:
            one_hot = self.own.index_select(0, label)
            latents = torch.cat([latents, one_hot[:, :, None, None].expand(-1, -1, *latents.shape[2:])], 1)
        if truncation is None:
            images: Tensor = self.network(latents)
            return images.mean(1)
        assert isinstance(self.network, stable.Generator)
        style = self.network.styles(latents)
        mean = self.means if one_hot is None else one_hot @ self.means
        style = style - (1 - truncation) * (style - mean)  # which psi = 1 leaves as it is, to the bit
        return self.network.synthesise(latents, style).mean(1)


@torch.no_grad()
def greatest_difference(content: bytes, network: nn.Module, config: ModelConfig) -> float:
    """Between a graph's images and those of a network on the CPU, over `CHECKED`; NaN where one holds any."""
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    found = []
    for num, psi in CHECKED:
        inputs = _inputs(network, config, range(num), psi)
        images = torch.from_numpy(session.run(["image"], {name: value.numpy() for name, value in inputs.items()})[0])
        latents = seed_latents(config, range(num), inputs.get("label", torch.zeros(num, dtype=torch.int64)))
        truncated = stable.Truncated(network, config, psi) if isinstance(network, stable.Generator) else network
        found.append((images - (network if psi == 1 else truncated)(latents).mean(1)).abs().max())
    return float(torch.stack(found).max())


def _inputs(network: nn.Module, config: ModelConfig, seeds: Sequence[int], psi: float) -> dict[str, Tensor]:
    """What the graph of a network takes, for these seeds, by name."""
    labels = torch.arange(len(seeds)) % max(1, config.num_classes)
    inputs = {"latents": seed_latents(config, seeds, labels)[:, : config.latent_channels].contiguous()}
    if config.num_classes:
        inputs["label"] = labels
    if isinstance(network, stable.Generator):
        inputs["truncation"] = torch.tensor(psi)
    return inputs


def _exported(module: nn.Module, inputs: dict[str, Tensor]) -> "ModelProto":
    """The model of a module; its first axis stays open where an input has one."""
    shapes = {name: {0: "N"} if value.ndim else None for name, value in inputs.items()}
    chatter = logging.getLogger("torch.onnx")
    level = chatter.level
    try:
        chatter.setLevel(logging.ERROR)  # that torchvision is not there
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about itself
            program = torch.onnx.export(
                module.eval(),
                kwargs=inputs,
                dynamic_shapes=shapes,
                input_names=list(inputs),
                output_names=["image"],
                dynamo=True,
                verbose=False,
            )
    finally:
        chatter.setLevel(level)
    assert program is not None
    model = program.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")  # lines of code, with the folders of this machine
    return model
