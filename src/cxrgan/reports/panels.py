"""What each panel of a run shows, once: `figures` draws it as PNG, `chart` as SVG on a page."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["generated", "real", "third", "floor"]
"""What a curve stands for, and so its colour."""

COLOURS: dict[Role, str] = {"generated": "#c2410c", "real": "#1d4ed8", "third": "#047857", "floor": "#808080"}
"""On white; a page has lighter ones for dark screens (shared.css)."""


@dataclass(frozen=True)
class Series:
    """One curve of a panel."""

    name: str
    """In metrics.jsonl."""
    label: str
    role: Role


@dataclass(frozen=True)
class Panel:
    """What one picture shows over the steps of a run."""

    title: str
    series: tuple[Series, ...]
    hint: str
    """How to read it."""
    top: float | None = None
    """The highest value there can be."""


LOSSES = Panel(
    "Losses",
    (Series("loss_g", "generator", "generated"), Series("loss_d", "discriminator", "real")),
    "Their levels depend on the kind of loss; in a healthy game neither runs away.",
)
PROBABILITY = Panel(
    "Probability of being real",
    (Series("d_real", "D(x), real", "real"), Series("d_fake", "D(G(z)), generated", "generated")),
    "At 0.5 the discriminator cannot tell them apart.",
    top=1,
)
MARGIN = Panel(
    "Margin",
    (Series("margin", "D(x) - D(G(z)), logits", "real"),),
    "How far the discriminator places real images above generated ones. At 0 it cannot tell them apart.",
)
DISTANCE = Panel(
    "Fréchet distance",
    (Series("frechet_distance", "generated", "generated"), Series("frechet_floor", "floor", "floor")),
    "Lower is better. The floor is the distance between real images and other real images.",
)
PRECISION_RECALL = Panel(
    "Precision and recall",
    (Series("precision", "precision", "generated"), Series("recall", "recall", "real")),
    "Precision is the share of generated images that lie among the real ones; recall is the share of real images that "
    "lie among the generated ones.",
    top=1,
)
SAMPLES = Panel(
    "Samples compared with real images",
    (
        Series("diversity", "diversity", "generated"),
        Series("grain", "grain", "third"),
        Series("repeats", "repeats", "real"),
    ),
    "Diversity and grain are 1 when samples vary as much, and are as rough, as real images. Repeats is the share of "
    "samples with a near copy.",
)
OPINION = Panel(
    "What the discriminator makes of images",
    (
        Series("d_train", "training images", "real"),
        Series("d_held_out", "unseen real images", "third"),
        Series("d_samples", "samples", "generated"),
    ),
    "Mean logits. If unseen real images lie far below training images, the discriminator is memorising these.",
)

AUGMENTATION = Panel(
    "Augmentation that adapts",
    (Series("augment", "probability", "generated"), Series("r_v", "overfitting (r_v)", "real")),
    "The probability rises while r_v, measured on unseen real images, is above its target, and falls while below.",
)


def game(*, relativistic: bool) -> Panel:
    """How well D tells real from generated; a relativistic D knows differences only, its D(x) alone says nothing."""
    return MARGIN if relativistic else PROBABILITY


def panels(*, relativistic: bool) -> tuple[Panel, ...]:
    """All that is shown of a run."""
    return (LOSSES, game(relativistic=relativistic), DISTANCE, PRECISION_RECALL, SAMPLES, OPINION, AUGMENTATION)


def names(*shown: Panel) -> tuple[str, ...]:
    """The curves of panels, by their names in metrics.jsonl."""
    return tuple(series.name for panel in shown for series in panel.series)
