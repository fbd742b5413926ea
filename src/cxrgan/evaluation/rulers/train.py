"""Trains a domain network on chest X-rays whose file names tell NORMAL, bacteria and virus apart.

Its deep end learns the disease however an image was spoilt; its shallow end learns to say how it was spoilt, for a
ruler must see both. A share of the patients is held out; the test split is read once, at the end.
"""

import hashlib
import io
import itertools
import math
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from cxrgan import __version__
from cxrgan.console import ProgressBar
from cxrgan.data.dataset import Dataset, batch_indices, load_dataset, read_manifest
from cxrgan.data.sources.record import CC_BY, KERMANY
from cxrgan.device import Device, Precision, choose_device, choose_precision
from cxrgan.errors import UserError
from cxrgan.evaluation.roc import auc
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain, new_domain, save_domain
from cxrgan.evaluation.rulers.domain_network import CLASSES, INPUT_SIZE, DomainNetwork, to_input
from cxrgan.files import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIGIN = re.compile(r"(?:person\d+_(bacteria|virus)|(?:NORMAL2-)?IM-\d+)[-_]")
PREDICT_BATCH = 128
NUM_TEXTURES = 4  # what `spoil` tells of an image: blur, noise, JPEG loss, lost resolution


@dataclass(frozen=True)
class DomainConfig:
    """All settings of a domain network's training. With the data, they decide its weights."""

    name: DomainName = "cxr-domain-v1"
    """Which network: its architecture, and who is held out."""
    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW: it rises during the first twentieth of training, then falls to zero on a cosine."""
    weight_decay: float = 0.05
    """AdamW's weight decay, on the kernels."""
    label_smoothing: float = 0.1
    """Share of the target probability that is spread over all classes."""
    texture: float = 2.0
    """Weight of the second task: predicting how much each image was blurred, compressed and so on (squared error)."""
    held_out: float = 0.1
    """Share of the patients held out for validation."""
    seed: int = 0
    """Decides the initial weights, the order of the images and their augmentation."""
    device: Device = "auto"
    """`auto` uses a GPU if there is one."""
    precision: Precision = "auto"
    """`auto` uses bf16 autocast if the hardware multiplies in bf16, otherwise fp32."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with the labels of their file names."""

    images: Tensor
    """(N, 1, M, M) uint8."""
    labels: Tensor
    """(N,) int64, an index into CLASSES."""
    patients: tuple[str, ...]
    """Who is on each image."""

    def where(self, chosen: "NDArray[np.bool_]") -> "Examples":
        """The images of a mask (N,)."""
        mask = torch.from_numpy(chosen)
        return Examples(self.images[mask], self.labels[mask], tuple(itertools.compress(self.patients, chosen)))

    def counts(self) -> dict[str, Any]:
        each = self.labels.bincount(minlength=len(CLASSES)).tolist()
        return {"images": dict(zip(CLASSES, each, strict=True)), "num_patients": len(set(self.patients))}


def train_domain(dataset_folder: Path, out: Path, config: DomainConfig) -> dict[str, Any]:
    """Train on a dataset folder; write the weights to `out` (.safetensors) and their provenance beside it (.json).

    Returns the provenance. The folder has the splits `train` and `test`, made from the Kermany set (size 128 is best).
    """
    began = time.monotonic()
    device = torch.device(choose_device(config.device))
    dataset = load_dataset(dataset_folder, "train")
    learnt, held_out = split_patients(examples(dataset_folder, dataset), config.name, config.held_out)
    test = examples(dataset_folder, load_dataset(dataset_folder, "test"))
    for name, part in {"training": learnt, "validation": held_out, "test": test}.items():
        missing = [label for label, count in part.counts()["images"].items() if not count]
        if missing:
            raise UserError(f"{dataset_folder} has no image of {' or '.join(missing)} in its {name} part")
    network, losses = fit(learnt, config, device)
    sha256 = save_domain(finished(network, learnt, config.seed, device), out)
    shipped = load_domain(config.name, out)  # what is judged is what is shipped: folded, float16
    provenance = {
        "name": config.name,
        "sha256": sha256,
        "classes": list(CLASSES),
        "num_features": network.centre.numel(),
        "licence": f"Trained on images under {CC_BY}; keep this attribution where the weights are shared: {KERMANY}",
        "data": {
            "name": dataset.name,
            "images_sha256": dataset.sha256,
            "image_size": dataset.image_size,
            "trained_on": learnt.counts(),
        },
        "command": f"cxrgan train-domain --data DIR --out {out.name} --name {config.name} --epochs {config.epochs} "
        f"--seed {config.seed} --precision {config.precision}",
        "config": asdict(config),
        "last_losses": dict(zip(("disease", "texture"), losses[-50:].mean(0).tolist(), strict=True)),
        "validation": judge(shipped, held_out),
        "test": judge(shipped, test),
        "seconds": round(time.monotonic() - began),
        "machine": _machine(device),
        "versions": {"cxrgan": __version__, "torch": torch.__version__},
    }
    write_json(out.with_suffix(".json"), provenance)
    return provenance


def fit(data: Examples, config: DomainConfig, device: torch.device) -> "tuple[DomainNetwork, NDArray[np.float64]]":
    """Train a fresh network; returns it in training mode, and the two losses of every step (num_steps, 2)."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        network = new_domain(config.name)
        texture_head = nn.Linear(network.num_shallow, NUM_TEXTURES)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    texture_head.to(device)
    num_images = len(data.images)
    num_steps = math.ceil(config.epochs * num_images / config.batch_size)
    optimizer = _adamw([*network.parameters(), *texture_head.parameters()], config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, num_steps + 1, pct_start=0.05, cycle_momentum=False
    )
    weights = (num_images / len(CLASSES) / data.labels.bincount(minlength=len(CLASSES)).clamp_min(1)).to(device)
    bf16 = choose_precision(config.precision, choose_device(config.device)) == "bf16"
    losses = []
    with ProgressBar("Training the domain network", num_steps) as bar:
        for step in range(num_steps):
            order = batch_indices(step, num_images=num_images, batch_size=config.batch_size, seed=config.seed)
            rows = torch.from_numpy(order)
            images, texture = spoil(to_input(data.images[rows].to(device)), _generator(config.seed, step))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                pooled, logits = network.read(images)
                guessed = texture_head(pooled[:, : network.num_shallow]).float()
            labels = data.labels[rows].to(device)
            disease_loss = F.cross_entropy(logits, labels, weights, label_smoothing=config.label_smoothing)
            texture_loss = F.mse_loss(guessed, texture)
            optimizer.zero_grad()
            (disease_loss + config.texture * texture_loss).backward()
            optimizer.step()
            schedule.step()
            losses.append((disease_loss.item(), texture_loss.item()))
            recent = np.mean(losses[-50:], axis=0)
            bar.advance(text=f"loss {recent[0]:.3f}  texture {recent[1]:.4f}")
    return network, np.array(losses)


def spoil(x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N, 1, M, M) in [-1, 1] -> the same after another pose, exposure and machine, and how it was spoilt (N, 4).

    That is blur, noise, JPEG loss and lost resolution, each in [0, 1] and 0 for about half of the images. No mirror
    (the heart has its side), no quarter turns, no inversion.
    """
    num, device = len(x), x.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(num, 1, 1, 1).uniform_(low, high, generator=random).to(device)

    def sometimes() -> Tensor:
        return uniform(0, 1) * (uniform(0, 1) < 0.5)

    angle, zoom, aspect = uniform(-0.14, 0.14), uniform(0.85, 1.15), uniform(0.92, 1.08)
    x = _moved(x, angle, zoom, aspect, uniform(-0.15, 0.15), uniform(-0.15, 0.15))
    x = (x / 2 + 0.5).clamp(0, 1) ** uniform(-0.35, 0.35).exp()
    x = (x - 0.5) * uniform(0.75, 1.25) + 0.5 + uniform(-0.12, 0.12)
    x = _cut_out(x, uniform(-1, 1), uniform(-1, 1), sometimes() * 0.35)

    blur, noise, loss = sometimes(), sometimes(), sometimes()
    x = _blurred(x, 0.05 + 1.5 * blur)
    x = (x + 0.06 * noise * torch.randn(x.shape, generator=random).to(device)).clamp(0, 1)
    size = int(torch.randint(INPUT_SIZE // 4, INPUT_SIZE, (), generator=random))
    coarse = torch.zeros_like(loss)
    coarse[: num // 2] = 1 - size / INPUT_SIZE
    small, large = x.split([num // 2, num - num // 2])  # the order of the images is random already
    small = _resized(_compressed(_resized(small, size), loss[: num // 2]), x.shape[-1])
    x = torch.cat([small, _compressed(large, loss[num // 2 :])])
    return x.clamp(0, 1) * 2 - 1, torch.cat([blur, noise, loss, coarse], 1).flatten(1)


def _moved(x: Tensor, angle: Tensor, zoom: Tensor, aspect: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Rotate by radians, zoom, stretch, shift by halves of the image; each a number an image, (N, 1, 1, 1)."""
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = torch.cat([cos * aspect, -sin, right, sin, cos / aspect, down], 3)
    lattice = F.affine_grid(rows.view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, lattice, padding_mode="border", align_corners=False)


def _resized(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True)


def _compressed(x: Tensor, loss: Tensor) -> Tensor:
    """Through JPEG of quality 100 (1 - loss), at least 5; images whose `loss` (N, 1, 1, 1) is 0 stay as they are."""
    pixels = (x * 255).round().to(device="cpu", dtype=torch.uint8).squeeze(1).numpy()
    x = x.clone()
    for row in loss.flatten().nonzero().flatten().tolist():
        buffer = io.BytesIO()
        Image.fromarray(pixels[row]).save(buffer, "JPEG", quality=max(5, round(100 * (1 - loss[row].item()))))
        x[row, 0] = torch.from_numpy(np.array(Image.open(buffer))) / 255
    return x


def _blurred(x: Tensor, sigma: Tensor, radius: int = 4) -> Tensor:
    """Gaussian blur with a `sigma` (N, 1, 1, 1) in pixels for each image."""
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.softmax(-((offsets / sigma) ** 2) / 2, 3)  # (N, 1, 1, 2 radius + 1)
    padded = F.pad(x.transpose(0, 1), (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=len(x))
    return F.conv2d(rows, kernel.transpose(2, 3), groups=len(x)).transpose(0, 1)


def _cut_out(x: Tensor, centre_x: Tensor, centre_y: Tensor, half_side: Tensor) -> Tensor:
    """Grey out a square, all in halves of the image."""
    place = torch.linspace(-1, 1, x.shape[-1], device=x.device)
    inside = ((place - centre_x).abs() < half_side) & ((place[:, None] - centre_y).abs() < half_side)
    return torch.where(inside, 0.5, x)


@torch.no_grad()
def finished(network: DomainNetwork, data: Examples, seed: int, device: torch.device) -> DomainNetwork:
    """The network as it is shipped: any BatchNorm of whole images folded in, weights of float16, features to scale.

    A feature is divided by its deviation over augmented images. Over whole ones, those that answer to texture hardly
    vary: divided by that little, a slight blur would count for more than a missing class.
    """
    if norms := [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]:
        _measure_norms(norms, network, data, device)
    network.eval().fold()
    network.half().float()  # the scale is that of the network which is shipped
    batches = [to_input(part.to(device)) for part in data.images.split(PREDICT_BATCH)]
    whole = torch.cat([network.read(x)[0] for x in batches])
    spoilt = torch.cat([network.read(spoil(x, _generator(seed, i))[0])[0] for i, x in enumerate(batches)])
    network.centre.copy_(whole.mean(0))
    network.scale.copy_(1 / spoilt.std(0).clamp_min(1e-3))
    return network.cpu()


def _measure_norms(
    norms: Sequence[nn.BatchNorm2d], network: DomainNetwork, data: Examples, device: torch.device
) -> None:
    """Replace BatchNorm's statistics, which are of augmented images, by those of whole ones."""
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.images)))
    network.train()
    for rows in order.split(PREDICT_BATCH):
        network.read(to_input(data.images[rows].to(device)))


@torch.no_grad()
def judge(network: DomainNetwork, data: Examples) -> dict[str, Any]:
    """How well the network tells the classes apart: sick against NORMAL, and the mean of each against the rest."""
    logits = torch.cat([network(part)["logits"] for part in data.images.split(PREDICT_BATCH)])
    shares, labels = logits.double().softmax(1).numpy(), data.labels.numpy()
    each = [auc(positive=shares[labels == k, k], negative=shares[labels != k, k]) for k in range(len(CLASSES))]
    return {
        **data.counts(),
        "auc_pneumonia": auc(positive=1 - shares[labels > 0, 0], negative=1 - shares[labels == 0, 0]),
        "auc_macro": float(np.mean(each)),
        "accuracy": float((shares.argmax(1) == labels).mean()),
    }


def split_patients(data: Examples, name: DomainName, share: float) -> tuple[Examples, Examples]:
    """(to learn from, held out for validation): no patient is in both."""
    mask = np.array([is_held_out(patient, name, share) for patient in data.patients])
    if mask.all() or not mask.any():
        raise UserError(
            f"{len(set(data.patients))} patients are too few to hold out {share:.0%} of them; give more images"
        )
    return data.where(~mask), data.where(mask)


def is_held_out(patient: str, name: DomainName, share: float) -> bool:
    """Whether a patient belongs to a network's validation part: by name alone, so that further images move nobody."""
    digest = hashlib.sha256(f"{name}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < share


def examples(folder: Path, dataset: Dataset) -> Examples:
    """The images of a split, labelled by their file names."""
    entries = [entry for entry in read_manifest(folder).images if entry.split == dataset.split]
    labels = torch.tensor([label_of(entry.origin) for entry in entries])
    patients = [entry.patient or entry.origin for entry in entries]
    return Examples(torch.tensor(dataset.images).unsqueeze(1), labels, tuple(patients))


def label_of(origin: str) -> int:
    """`train/PNEUMONIA/person1_virus_6.jpeg` -> its place in CLASSES."""
    named = ORIGIN.match(Path(origin).name)
    if named is None:
        raise UserError(
            f"{origin} is not named as in the Kermany set (such as person1_virus_6.jpeg or IM-0115-0001.jpeg); "
            "train-domain reads the class from such names"
        )
    return CLASSES.index(named[1] or "NORMAL")


def _adamw(parameters: Sequence[nn.Parameter], config: DomainConfig) -> torch.optim.AdamW:
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim == 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    amx = " with AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"CPU{amx}, {threads} thread{'s' * (threads > 1)}"
