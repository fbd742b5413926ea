"""What a training run is, as one frozen value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cxrgan.device import Device, Precision
from cxrgan.errors import UserError
from cxrgan.fields import MAX_WHOLE, shown
from cxrgan.models.config import ModelConfig
from cxrgan.settings import differences, from_dict

Loss = Literal["non-saturating", "saturating", "relativistic"]
MAX_LENGTH = 10**10  # steps or epochs: centuries
MAX_BYTES = 2**36  # of images and latents that are held at once


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides how a run goes; the run's images and weights follow from it, the data and the seed."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The networks."""
    batch_size: int = 64
    """Real images a step; as many fakes are made."""
    epochs: float = 50
    """Passes over the training images; the length of the run unless `steps` is given."""
    steps: int | None = None
    """Training steps: one update of the discriminator, then one of the generator."""
    lr: float = 2e-4
    """Learning rate of both Adam optimisers."""
    beta1: float = 0.5
    """Adam's decay of the mean gradient."""
    beta2: float = 0.999
    """Adam's decay of the mean squared gradient."""
    loss: Loss = "non-saturating"
    """The generator's -log D(G(z)), or the minimax game's own log(1 - D(G(z))), or relativistic pairing for both."""
    gradient_penalty: float = 0.0
    """Gamma: gamma / 2 times the squared gradient of D at real (R1) and generated images (R2); 0 is none."""
    penalty_every: int = 8
    """Steps between two gradient penalties, each of which then counts so many times."""
    penalty_images: int = 16
    """Images of each kind that a gradient penalty is taken at."""
    augment: float = 0.0
    """Probability of each alteration (shift by whole pixels, brightness, contrast) of what D sees; 0 is none."""
    conditional: bool = False
    """Learn to make images of a given class; every training image must have a label."""
    ema_halflife: int = 0
    """Half-life, in images seen, of the generator's moving average that samples are drawn from; 0 is none."""
    seed: int = 0
    """Decides the first weights, the order of the images and the latents."""
    device: Device = "auto"
    """`auto` takes a GPU where there is one."""
    precision: Precision = "auto"
    """`auto` takes bf16 autocast where the hardware multiplies in it, else fp32."""
    compile: bool = False
    """torch.compile the networks: up to a minute of warm-up; no faster on the CPU it was measured on."""
    log_every: int = 10
    """Steps between two writings of metrics.jsonl, which has a line for every step."""
    sample_every: int | None = None
    """Steps between two grids from the fixed latents; left out, an epoch."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints; left out, an epoch."""
    num_samples: int = 64
    """Images in a grid."""
    evaluate_every: int | None = None
    """Steps between two measurements against the training images; left out, none are made."""
    num_evaluated: int = 1000
    """Images of a measurement, always those of the first seeds."""
    keep_checkpoints: int = 2
    """Checkpoints that stay on disk; older ones are removed."""

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            most = MAX_LENGTH if name == "steps" else MAX_WHOLE
            if value is not None and not least <= value <= most:
                limit = f"at least {least}" if value < least else f"at most {most}"
                raise UserError(f"{name} is {shown(value)}, but must be {limit}")
        image = 4 * max(self.model.image_size**2, math.prod(self.model.latent_shape))  # float32
        for name in ("batch_size", "num_samples", "num_evaluated"):
            if getattr(self, name) * image > MAX_BYTES:
                raise UserError(
                    f"{name} is {shown(getattr(self, name))}, but so many images and latents of {image:,} bytes need "
                    f"more memory than {MAX_BYTES / 2**30:.0f} GiB; ask for fewer"
                )
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise UserError(f"lr is {self.lr}, but must be above 0, such as 2e-4")
        if not 0 < self.epochs <= MAX_LENGTH:
            raise UserError(f"epochs is {shown(self.epochs)}, but must be above 0 and at most {MAX_LENGTH}")
        if not (self.gradient_penalty >= 0 and math.isfinite(self.gradient_penalty)):
            raise UserError(f"gradient_penalty is {self.gradient_penalty}, but must be 0 or more")
        if not 0 <= self.augment <= 1:
            raise UserError(f"augment is {self.augment}, but is a probability, from 0 to 1")
        if self.model.num_classes and not self.conditional:
            raise UserError("num_classes is not for setting: --conditional takes it from the dataset")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in [0, 1)")

    def num_steps(self, num_images: int) -> int:
        """Steps of the whole run on `num_images` training images."""
        return self.steps or max(1, math.ceil(self.epochs * num_images / self.batch_size))


_AT_LEAST = {
    "batch_size": 2,  # BatchNorm needs two
    "steps": 1,
    "ema_halflife": 0,
    "penalty_every": 1,
    "penalty_images": 1,
    "seed": 0,
    "log_every": 1,
    "sample_every": 1,
    "checkpoint_every": 1,
    "num_samples": 1,
    "evaluate_every": 1,
    "num_evaluated": 10,
    "keep_checkpoints": 1,
}

FREE_TO_CHANGE = frozenset(
    {
        "epochs",
        "steps",
        "device",
        "precision",
        "compile",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "num_samples",
        "evaluate_every",
        "num_evaluated",
        "keep_checkpoints",
    }
)
"""Settings that a resumed run may change: how long and where it runs, and what it writes, not what it computes."""


def with_values(values: Mapping[str, Any], settings: TrainConfig, *, where: str) -> TrainConfig:
    """`from_dict` for what a user wrote: a length in epochs replaces a recipe's length in steps."""
    return from_dict(values, replace(settings, steps=None) if "epochs" in values else settings, where=where)


def check_same(saved: TrainConfig, wanted: TrainConfig, *, where: str) -> None:
    """UserError unless a run of `saved` can go on as `wanted`; names what differs."""
    changed = {name: pair for name, pair in differences(saved, wanted).items() if name not in FREE_TO_CHANGE}
    if changed:
        listed = ", ".join(f"{name} was {old}, is now {new}" for name, (old, new) in changed.items())
        raise UserError(f"{where} is of another configuration: {listed}; resume without that, or start a new run")
