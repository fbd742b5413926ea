"""The settings of a training run, as one frozen value."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cxrgan.device import Device, Precision
from cxrgan.errors import UserError
from cxrgan.fields import MAX_WHOLE, shown
from cxrgan.models.config import ModelConfig
from cxrgan.settings import differences, from_dict

Loss = Literal["non-saturating", "saturating", "relativistic"]
MAX_LENGTH = 10**10  # steps or epochs: centuries
MAX_BYTES = 2**36  # of images and latents in memory at once


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run. With the dataset, they decide its weights and images."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The networks."""
    batch_size: int = 64
    """Real images per step, and as many generated ones."""
    epochs: float = 50
    """Length of the run in passes over the training images, unless `steps` is given."""
    steps: int | None = None
    """Length of the run in steps; a step is one update of the discriminator, then one of the generator."""
    lr: float = 2e-4
    """Learning rate of both networks (Adam)."""
    final_lr: float | None = None
    """Learning rate of the last step, reached from `lr` along half a cosine; if left out, it stays the same."""
    beta1: float = 0.5
    """Adam's decay rate for the mean of the gradient."""
    beta2: float = 0.999
    """Adam's decay rate for the mean of the squared gradient."""
    final_beta2: float | None = None
    """beta2 of the last step, reached like `final_lr`."""
    loss: Loss = "non-saturating"
    """The generator minimises -log D(G(z)), or log(1 - D(G(z))) (saturating); or relativistic pairing for both."""
    gradient_penalty: float = 0.0
    """Gamma of R1 and R2: gamma / 2 times D's squared gradient at real and at generated images; 0 turns it off."""
    final_gradient_penalty: float | None = None
    """Gamma of the last step, reached like `final_lr`."""
    penalty_every: int = 8
    """Compute the gradient penalty every so many steps, and multiply it by this number."""
    penalty_images: int = 16
    """Real images, and as many generated ones, that the gradient penalty is computed on."""
    augment: float = 0.0
    """Probability of each augmentation of what D sees (shift, brightness, contrast); 0 turns it off."""
    augment_target: float = 0.0
    """Adapt `augment`, which is then where it begins, so that overfitting on held-out images (r_v) stays here; 0 keeps
    it fixed. StyleGAN2-ADA has 0.5."""
    conditional: bool = False
    """Learn to generate images of a chosen class; every training image needs a label."""
    ema_halflife: int = 0
    """Half-life, in images seen, of the generator's moving average, which makes the samples; 0 turns it off."""
    final_ema_halflife: int | None = None
    """Half-life of the last step, reached like `final_lr`."""
    learning_layers: int = 0
    """How many of the stable generator's layers learn, counted from the image; deeper ones stay as `--start-from` gave
    them. 0: all."""
    seed: int = 0
    """Decides the initial weights, the order of the images and the latents."""
    device: Device = "auto"
    """`auto` uses a GPU if there is one."""
    precision: Precision = "auto"
    """`auto` uses bf16 autocast if the hardware multiplies in bf16, otherwise fp32."""
    compile: bool = False
    """Use torch.compile: up to a minute of warm-up, and no faster on the CPU where it was measured."""
    log_every: int = 10
    """Write to metrics.jsonl every so many steps; it has a line for every step."""
    sample_every: int | None = None
    """Save a grid of samples every so many steps; by default once per epoch."""
    checkpoint_every: int | None = None
    """Save a checkpoint every so many steps; by default once per epoch."""
    num_samples: int = 64
    """Images in a grid of samples, always from the same seeds."""
    evaluate_every: int | None = None
    """Measure the samples against the training images every so many steps; by default never."""
    num_evaluated: int = 1000
    """Images per measurement, always from the same seeds."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints to keep; older ones are removed, except the best."""

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
                    f"{name} is {shown(getattr(self, name))}, but so many images or latents of {image:,} bytes need "
                    f"more than {MAX_BYTES / 2**30:.0f} GiB of memory; use fewer"
                )
        for name in ("lr", "final_lr"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(f"{name} is {value}, but must be above 0, such as 2e-4")
        if not 0 < self.epochs <= MAX_LENGTH:
            raise UserError(f"epochs is {shown(self.epochs)}, but must be above 0 and at most {MAX_LENGTH}")
        for name in ("gradient_penalty", "final_gradient_penalty"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise UserError(f"{name} is {value}, but must be 0 or more")
        for name in ("gradient_penalty", "ema_halflife"):
            if getattr(self, f"final_{name}") is not None and not getattr(self, name):
                raise UserError(f"final_{name} is given, but {name} is 0, which turns it off; give both")
        if not 0 <= self.augment <= 1:
            raise UserError(f"augment is {self.augment}, but must be a probability from 0 to 1")
        if not 0 <= self.augment_target < 1:
            raise UserError(f"augment_target is {self.augment_target}, but must be from 0 to below 1, such as 0.5")
        if self.learning_layers and self.model.networks != "stable":
            raise UserError("only the stable networks can keep their deep layers; leave --learning-layers away")
        most = self.model.num_doublings - 1
        if not 0 <= self.learning_layers <= most:
            raise UserError(f"learning_layers is {shown(self.learning_layers)}, but must be from 0 to {most} here")
        if self.model.num_classes and not self.conditional:
            raise UserError("num_classes cannot be set: --conditional takes it from the dataset")
        for name in ("beta1", "beta2", "final_beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"{name} is {value}, but must lie in [0, 1)")

    def num_steps(self, num_images: int) -> int:
        """Steps of the whole run on `num_images` training images."""
        return self.steps or max(1, math.ceil(self.epochs * num_images / self.batch_size))


_AT_LEAST = {
    "batch_size": 2,  # BatchNorm needs two
    "steps": 1,
    "ema_halflife": 0,
    "final_ema_halflife": 1,
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

OUTSIDE = frozenset(
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
"""Settings of how long and where a run goes and what it writes, not of what it computes."""

FREE_TO_CHANGE = OUTSIDE | {"final_lr", "final_beta2", "final_gradient_penalty", "final_ema_halflife"}
"""Settings that may change on resume: those, and how the rest of the run goes."""


def with_values(values: Mapping[str, Any], settings: TrainConfig, *, where: str) -> TrainConfig:
    """`from_dict` for settings written by a user: a length in epochs replaces a recipe's length in steps."""
    return from_dict(values, replace(settings, steps=None) if "epochs" in values else settings, where=where)


def check_same(saved: TrainConfig, wanted: TrainConfig, *, where: str, free: Set[str] = FREE_TO_CHANGE) -> None:
    """UserError unless a run of `saved` can be resumed as `wanted`; it names the differences."""
    changed = {name: pair for name, pair in differences(saved, wanted).items() if name not in free}
    if changed:
        listed = ", ".join(f"{name} was {old}, is now {new}" for name, (old, new) in changed.items())
        raise UserError(
            f"{where} has another configuration: {listed}; resume without these changes, or start a new run"
        )
