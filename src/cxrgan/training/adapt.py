"""Augmentation that adapts: more while the discriminator overfits, less while it does not.

The idea and the measure r_v are those of StyleGAN2-ADA (Karras et al. 2020): of the way from D's mean logit of training
images to that of generated ones, the share at which images lie that it never trained on. 0 is no overfitting; at 1 it
takes unseen real images for generated ones.
"""

import math

ADAPT_EVERY = 64  # steps
FULL_SWING = 100_000  # images seen in which the probability can go from 0 to 1; ADA's 500,000 are for longer runs


def overfitting(*, train: float, held_out: float, generated: float) -> float:
    """r_v of three mean logits; 0 where D tells generated images from training ones no better than by chance."""
    way = train - generated
    return (train - held_out) / way if way > 0 else 0.0


def adapted(probability: float, r_v: float, *, target: float, num_images: int) -> float:
    """The probability of augmentation after `num_images` more images, nearer to where r_v is at its target."""
    moved = probability + math.copysign(num_images / FULL_SWING, r_v - target)
    return min(max(moved, 0.0), 1.0)
