"""Floating-point operations of a training step: counted as it goes through its products, with nothing computed."""

from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.step import Players, Step


def step_flops(config: TrainConfig) -> float:
    """FLOPs of a step, as a mean over the steps with and without a gradient penalty; a multiply-add counts as two.

    Those of convolutions and matrix products, by PyTorch's own formulas, in all passes of both networks. What works
    element by element (norms, activations, Adam, the average) is not counted, nor are samples and measurements.
    """
    plain = _count(config, number=1)
    if not config.gradient_penalty:
        return plain
    every = config.penalty_every
    return (_count(config, number=every) + (every - 1) * plain) / every if every > 1 else plain


def _count(config: TrainConfig, number: int) -> float:
    """FLOPs of the step of this number, on the device `meta`, whose tensors have shapes and no values."""
    config, device = replace(config, precision="fp32", compile=False), torch.device("meta")
    with device:
        networks = build_generator(config.model), build_discriminator(config.model)
    players = Players(*networks, None, *(torch.optim.Adam(network.parameters()) for network in networks))
    step = Step(config, players, device, num_steps=max(number, 1))
    shape = (config.batch_size, config.model.image_size, config.model.image_size)
    real = torch.empty(shape, dtype=torch.uint8, device=device)
    with _Counter() as counter:
        step(number, real, torch.zeros(config.batch_size, dtype=torch.int64))
    return float(counter.flops)


class _Counter(TorchDispatchMode):
    """Adds up the FLOPs of all that runs within; PyTorch's FlopCounterMode fails at gradients of gradients."""

    flops: float

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result
