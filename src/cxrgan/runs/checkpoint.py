"""Checkpoints that are complete or absent, and contain no code.

A checkpoint is a folder `step-000500` of safetensors files and one `state.json`. It is written beside its final
place and moved in, so that a crash or a full disk leaves the previous one untouched.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from cxrgan.errors import UserError
from cxrgan.fields import read_json
from cxrgan.files import replacing, write_json
from cxrgan.recipes.config import TrainConfig, check_same
from cxrgan.settings import from_dict
from cxrgan.tensors import Layout, layout_of, read_tensors

ADAM_MEANS = ("exp_avg", "exp_avg_sq")
MEND_CHECKPOINT = "delete that checkpoint's folder to resume from the one before"


@dataclass(frozen=True)
class Progress:
    """How far a run is; with the weights and the optimiser states, all that a resumed run needs."""

    step: int
    seconds: float
    augment: float | None = None
    """The probability of augmentation, where it adapts."""


def save_checkpoint(
    path: Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    config: TrainConfig,
    progress: Progress,
) -> None:
    """Write a checkpoint folder, whole or not at all."""
    with replacing(path) as folder:
        folder.mkdir(parents=True)
        for name, network in networks.items():
            (folder / f"{name}.safetensors").write_bytes(save(_contiguous(network.state_dict())))
        for name, optimizer in optimizers.items():
            (folder / f"{name}.safetensors").write_bytes(save(_contiguous(_optimizer_tensors(optimizer))))
        write_json(folder / "state.json", {"progress": asdict(progress), "config": asdict(config)})


def load_checkpoint(
    path: Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    config: TrainConfig,
) -> Progress:
    """Load a checkpoint into networks and optimisers, in place; executes nothing from it.

    UserError if it is damaged or has another configuration, with the differences.
    """
    try:
        state = read_json(path / "state.json", mend=MEND_CHECKPOINT)
    except FileNotFoundError:
        raise _damaged(path, "it lacks state.json") from None
    saved = from_dict(state.table("config").values, TrainConfig(), where=f"{state.where}, config")
    check_same(saved, config, where=str(path))
    progress, step = state.table("progress"), int(path.name.removeprefix("step-"))
    found = Progress(
        progress.whole("step", step, step), progress.number("seconds", 0), progress.optional_number("augment", 0, 1)
    )
    for name, network in networks.items():
        load_network(path, name, network)
    for name, optimizer in optimizers.items():
        _load_optimizer(path, name, optimizer)
    return found


def load_network(path: Path, name: str, network: nn.Module) -> None:
    """Load the weights `name` of a checkpoint into `network`, which may be on the device meta.

    UserError if they do not fit the network, or are not all finite.
    """
    tensors = _read(path, name, layout_of(network.state_dict()))
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise _damaged(path, f"{name}.safetensors has weights that are not finite")
    network.load_state_dict(tensors, assign=next(network.parameters()).is_meta)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"the checkpoint {path} is damaged or incomplete: {reason}; {MEND_CHECKPOINT}")


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as flat tensors named `3.exp_avg`, by the parameter's place."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()}


def _load_optimizer(path: Path, name: str, optimizer: torch.optim.Optimizer) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    means = {f"{index}.{mean}": parameter for index, parameter in enumerate(parameters) for mean in ADAM_MEANS}
    steps = {f"{index}.step": ("float32", ()) for index in range(len(parameters))}
    tensors = _read(path, name, {**steps, **layout_of(means)})
    for index, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        state["step"] = tensors[f"{index}.step"].to(parameter.device)
        for mean in ADAM_MEANS:  # the fused step wants the memory format of its parameter
            state[mean] = torch.empty_like(parameter).copy_(tensors[f"{index}.{mean}"])


def _read(path: Path, name: str, layout: Layout) -> dict[str, Tensor]:
    """The tensors of a file of the checkpoint `path`, which must be those of `layout`."""
    file = path / f"{name}.safetensors"
    try:
        arrays = read_tensors(file, layout, mend=MEND_CHECKPOINT)
    except FileNotFoundError:
        raise _damaged(path, f"it lacks {file.name}") from None
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
