"""What a training run is, as one frozen value, and the named recipes, each derived from another."""

import difflib
import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cxrgan.errors import UserError
from cxrgan.fields import MAX_WHOLE, is_number, read_bytes, shown
from cxrgan.models.config import DCGANConfig

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
Loss = Literal["non-saturating", "saturating", "relativistic"]
Config = TypeVar("Config")
MAX_TOML_BYTES = 2**20
MAX_LENGTH = 10**10  # steps or epochs: centuries
MAX_BYTES = 2**36  # of images and latents that are held at once


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides how a run goes; the run's images and weights follow from it, the data and the seed."""

    model: DCGANConfig = field(default_factory=DCGANConfig)
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

DCGAN = TrainConfig()
"""The tutorial's DCGAN on one grey channel."""

FAST_64 = replace(
    DCGAN,
    model=replace(DCGAN.model, networks="stable", latent_channels=128),
    loss="relativistic",
    gradient_penalty=0.025,
    augment=1.0,
    lr=5e-4,
    beta1=0.0,
    beta2=0.99,
    epochs=40,
    ema_halflife=10000,
)
"""The stable recipe in half an hour on one core: R3GAN's game, modulated DCGAN networks."""

QUICK = replace(FAST_64, model=replace(FAST_64.model, ngf=32, ndf=32), steps=1200, batch_size=32, sample_every=200)
"""A small network for a first look within minutes on two cores."""

STABLE_64 = replace(FAST_64, epochs=200, ema_halflife=20000)
"""The same for five times as long, averaged over twice as many images."""

# From size to size the gradient is spread over four times the pixels, so that its square is a quarter: gamma times 4.
STABLE_128 = replace(
    STABLE_64,
    model=replace(STABLE_64.model, image_size=128, ngf=32, ndf=32),
    batch_size=32,
    lr=3.5e-4,
    gradient_penalty=4 * STABLE_64.gradient_penalty,
)
STABLE_256 = replace(
    STABLE_128,
    model=replace(STABLE_128.model, image_size=256, ngf=16, ndf=16),
    gradient_penalty=4 * STABLE_128.gradient_penalty,
)

# The six experiments of the reports: three equal channels, batch 64, beta1 0.5, slope 0.2.
EXP1 = replace(DCGAN, model=replace(DCGAN.model, channels=3), lr=1e-4)
EXP2 = replace(EXP1, model=replace(EXP1.model, latent_channels=200))
EXP3 = replace(EXP1, lr=2e-4)
EXP4 = replace(EXP1, lr=1e-3)
EXP5 = replace(EXP3, model=replace(EXP3.model, image_size=128, latent_size=5, ngf=128, ndf=32), epochs=20)
EXP6 = replace(EXP3, model=replace(EXP3.model, image_size=128, ndf=16), epochs=20)

RECIPES: Mapping[str, TrainConfig] = types.MappingProxyType(
    {
        "dcgan": DCGAN,
        "quick": QUICK,
        "fast-64": FAST_64,
        "stable-64": STABLE_64,
        "stable-128": STABLE_128,
        "stable-256": STABLE_256,
        "exp1": EXP1,
        "exp2": EXP2,
        "exp3": EXP3,
        "exp4": EXP4,
        "exp5": EXP5,
        "exp6": EXP6,
    }
)


def recipe(name: str) -> TrainConfig:
    """The recipe of this name; UserError lists the names there are."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]


def from_dict(values: Mapping[str, Any], base: Config, *, where: str) -> Config:
    """`base` with the fields named in `values` (from JSON or TOML) put in; nested tables for nested configs.

    A name that is no field and a value of another type or out of its range are a UserError that names `where`.
    """
    hints = get_type_hints(type(base))
    names = [f.name for f in fields(base)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the names are {', '.join(names)}"
            raise UserError(f"{where}: there is no setting {shown(name)}; {hint}")
        current = getattr(base, name)
        if is_dataclass(current) and isinstance(value, Mapping):
            changes[name] = from_dict(value, current, where=f"{where}, {name}")
        elif _is_of(value, hints[name]):
            changes[name] = value
        else:
            raise UserError(f"{where}: {name} is {shown(value)}, but must be {_describe(hints[name])}")
    try:
        return replace(base, **changes)  # type: ignore[type-var]
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def read_toml(file: Path) -> dict[str, Any]:
    """The values of a TOML file; UserError when it cannot be read."""
    mend = "give a TOML file of settings"
    try:
        return tomllib.loads(read_bytes(file, MAX_TOML_BYTES, mend=mend).decode())
    except FileNotFoundError:
        raise UserError(f"cannot read {file}: there is no such file; {mend}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {file}: {error}; {mend}") from error


def with_values(values: Mapping[str, Any], settings: TrainConfig, *, where: str) -> TrainConfig:
    """`from_dict` for what a user wrote: a length in epochs replaces a recipe's length in steps."""
    return from_dict(values, replace(settings, steps=None) if "epochs" in values else settings, where=where)


def differences(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configs differ, by name, such as `lr` or `model.ngf`: (old, new)."""
    flat_old, flat_new = _flat(asdict(old)), _flat(asdict(new))
    return {name: (flat_old[name], flat_new[name]) for name in flat_old if flat_old[name] != flat_new[name]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _is_of(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is_of(value, part) for part in get_args(hint))
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    return is_number(value) if hint is float else isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(value) for value in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(part) for part in get_args(hint) if part is not types.NoneType)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))
