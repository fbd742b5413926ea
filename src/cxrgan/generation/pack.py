"""A run -> the folder that is shared: card.json, model.safetensors, README.md as its model card, grid.png."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cxrgan import __version__
from cxrgan.data.dataset import read_manifest
from cxrgan.errors import UserError
from cxrgan.files import replacing, write_json
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.packed import CARD, WEIGHTS, encode_weights
from cxrgan.images import SHEET, SYNTHETIC, encode_png, grid
from cxrgan.reports.audit import audit_limits, audit_tables, audit_verdict
from cxrgan.reports.tables import EVALUATION_COLUMNS, evaluation_cells, evaluation_groups, evaluation_remarks
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import read_audit, read_evaluation

MEASURED = ("metric", "label", "features", "tap", "value", "std", "ratio", "n_real", "n_fake", "seed")
FLOOR = ("floor", "floor_std", "n_floor", "floor_draws", "floor_corrected")
"""With `MEASURED`, what the card keeps of a row of evaluation.json: numbers and what they mean, no place."""
NUM_SHOWN = 64
INTENDED_USE = (
    "Research and teaching only. Not for diagnosis, not for training or testing clinical software without real data, "
    "not as images of patients."
)
NOT_AUDITED = (
    "Memorisation was not audited: nobody has checked whether this generator gives training images back. Where those "
    "are private, so may be its images."
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
        (made / SHEET).write_bytes(encode_png(grid(generator.sample(NUM_SHOWN, seed=0).images), note=SYNTHETIC))
    return sorted(out.iterdir())


def describe(folder: RunFolder, generator: TrainedGenerator, name: str, content: bytes) -> dict[str, Any]:
    """The card of a run's generator, `content` being its weights file."""
    info = folder.read_info()
    classes = f", of the classes {' and '.join(info.classes)}" if info.classes else ""
    return {
        "name": name,
        "what": f"Synthetic chest X-rays, {generator.config.image_size} pixels a side{classes}",
        "not_for": INTENDED_USE,
        "licence": _licence(Path(info.data)),
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
        },
        "cxrgan": __version__,
        "torch": torch.__version__,
    }


def _licence(data: Path) -> str:
    """What the dataset's source says of its licence, where the dataset is still there and its source is known."""
    with contextlib.suppress(UserError):
        manifest = read_manifest(data)
        if manifest.license:
            return f"Trained on images under {manifest.license}; keep this attribution: {manifest.citation}"
    return "That of the training images, which is not known to cxrgan"


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


def memorisation(audit: Mapping[str, Any] | None) -> str:
    """A card's section on copies of training images, in Markdown."""
    if not audit:
        return NOT_AUDITED
    parts = [f"{audit_verdict(audit)} {audit_limits(audit)}"]
    for table in audit_tables(audit):
        cells = [table.columns, ["---"] * len(table.columns), *table.rows]
        lines = "\n".join(f"| {' | '.join(line)} |" for line in cells)
        parts.append(f"{table.title}:\n\n{lines}\n\n{table.note}")
    return "\n\n".join(parts)


def said_of_copies(packed: Path) -> str:
    """What the card of a packed generator says of copies, in a sentence or two."""
    audit = json.loads((packed / CARD).read_text(encoding="utf-8"))["audit"]
    return audit_verdict(audit) if audit else NOT_AUDITED


def model_card(card: Mapping[str, Any]) -> str:
    """README.md of the repository, with the metadata that Hugging Face reads."""
    counts = ", ".join(f"{count:,} {label}" for label, count in card["classes"].items())
    images = f"{card['trained']['num_images']:,} images" + (f" ({counts})" if counts else "")
    return f"""---
library_name: cxrgan
pipeline_tag: unconditional-image-generation
license: other
license_name: that-of-the-training-images
tags: [gan, chest-x-ray, medical-imaging, synthetic, research-only]
---

# {card["name"].split("/")[-1]}

{card["what"]}. **{card["not_for"]}**

![{NUM_SHOWN} generated chest X-rays]({SHEET})

The images of the first {NUM_SHOWN} seeds, all of them generated and none cherry-picked.

```python
import cxrgan  # with its extra `hf`

generator = cxrgan.load_generator("hf://{card["name"]}")
images = generator.sample(64, seed=0)  # (64, {card["model"]["image_size"]}, {card["model"]["image_size"]}) uint8
```

## Training

Recipe `{card["trained"]["recipe"]}` of cxrgan {card["cxrgan"]}, step {card["step"]}, on {images}. Every setting is in
`{CARD}`. Licence: {card["licence"]}.

## How good it is

Measured in float32. An arrow says which way is better; the floor is the score of real images against real images.

{_tables(card["metrics"])}

## Memorisation

{memorisation(card["audit"])}
"""


def _tables(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = ["" if rows else "These weights were not measured (`cxrgan evaluate`)."]
    for group in evaluation_groups(rows):
        cells = [EVALUATION_COLUMNS, ["---"] * len(EVALUATION_COLUMNS), *map(evaluation_cells, group)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
        title = f"{group[0]['features']}, {group[0]['label'] or 'all images'}"
        counts = f"{group[0]['n_fake']:,} generated against {group[0]['n_real']:,} real images"
        parts.append(f"{title}, {counts}:\n\n{table}\n\n{' '.join(evaluation_remarks(group))}")
    return "\n\n".join(parts).strip()
