"""A run -> the folder that is shared: card.json, model.safetensors, README.md as its model card, grid.png."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from cxrgan import __version__
from cxrgan.files import replacing, write_json
from cxrgan.generation.card import NOT_AUDITED, model_card
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.packed import CARD, WEIGHTS, encode_weights
from cxrgan.images import NUM_SHOWN, SHEET
from cxrgan.reports.audit import audit_verdict
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import read_audit, read_evaluation

MEASURED = ("metric", "label", "features", "tap", "value", "std", "ratio", "n_real", "n_fake", "seed")
FLOOR = ("floor", "floor_std", "n_floor", "floor_draws", "floor_corrected")
"""With `MEASURED`, what the card keeps of a row of evaluation.json: numbers and what they mean, no place."""
INTENDED_USE = (
    "Research and teaching only. Not for diagnosis, not for training or testing clinical software without real data, "
    "not as images of patients."
)


def pack(run: Path, out: Path, *, name: str, best: bool = False, half: bool = True) -> list[Path]:
    """Write the folder `out` for the generator of a run, its weights of float16 if `half`, else float32.

    `name` is that of the repository, OWNER/NAME. Nothing in it says where the run or its dataset lies, nor shows a real
    image. Returns the files.
    """
    folder = RunFolder(run)
    folder.read_info()  # a run, and no other generator
    generator = load_generator(run, best=best)
    content = encode_weights(generator.network, half=half)
    card = describe(folder, generator, name, content)
    card["metrics"] = measured(folder, generator.step)
    card["audit"] = audited(folder, generator.step)
    with replacing(out) as made:
        made.mkdir(parents=True)
        (made / WEIGHTS).write_bytes(content)
        write_json(made / CARD, card)
        (made / "README.md").write_text(model_card(card), encoding="utf-8")
        shared = replace(load_generator(made), name=f"hf://{name}")  # whoever loads it can make them again
        (made / SHEET).write_bytes(shared.sample(NUM_SHOWN, seed=0).sheet())
    return sorted(out.iterdir())


def describe(folder: RunFolder, generator: TrainedGenerator, name: str, content: bytes) -> dict[str, Any]:
    """The card of a run's generator, `content` being its weights file."""
    info = folder.read_info()
    classes = f", of the classes {' and '.join(info.classes)}" if info.classes else ""
    return {
        "name": name,
        "what": f"Synthetic chest X-rays, {generator.config.image_size} pixels a side{classes}",
        "not_for": INTENDED_USE,
        "licence": generator.licence,
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": asdict(generator.config),
        "classes": dict(generator.classes),
        "step": generator.step,
        "trained": {
            "recipe": info.recipe,
            "num_images": info.num_images,
            "seconds": (folder.last_row() or {}).get("seconds"),
            "config": asdict(info.config),
            "data": info.data_sha256,
            "started_from": asdict(info.started_from) if info.started_from else None,
        },
        "cxrgan": __version__,
        "torch": torch.__version__,
    }


def measured(folder: RunFolder, step: int) -> list[dict[str, Any]]:
    """The rows of evaluation.json, where it is of the images of this step."""
    evaluation = read_evaluation(folder.evaluation_file)
    if not str(evaluation.get("target", "")).endswith(f", step {step}"):
        return []
    return [{name: row[name] for name in (*MEASURED, *FLOOR)} for row in evaluation["rows"] if row["value"] is not None]


def audited(folder: RunFolder, step: int) -> dict[str, Any] | None:
    """What audit.json says of the images of this step; no pairs, which name files of patients."""
    audit = read_audit(folder.audit_file)
    if not str(audit.get("target", "")).endswith(f", step {step}"):
        return None
    return {name: value for name, value in audit.items() if name != "pairs"}


def said_of_copies(packed: Path) -> str:
    """What the card of a packed generator says of copies, in a sentence or two."""
    audit = json.loads((packed / CARD).read_text(encoding="utf-8"))["audit"]
    return audit_verdict(audit) if audit else NOT_AUDITED
