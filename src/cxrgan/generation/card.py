"""card.json -> README.md, the model card as Hugging Face reads it: metadata in YAML, then words and tables for people.

The metadata: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxrgan.data.sources.record import CC_BY, KERMANY, MEDMNIST
from cxrgan.generation.packed import CARD
from cxrgan.images import NUM_SHOWN, SHEET
from cxrgan.reports.audit import audit_limits, audit_tables, audit_verdict
from cxrgan.reports.tables import EVALUATION_COLUMNS, evaluation_cells, evaluation_groups, evaluation_remarks

TAGS = ("gan", "chest-x-ray", "medical-imaging", "synthetic", "research-only")
NOT_AUDITED = (
    "Memorisation was not audited: nobody has checked whether this generator gives training images back. Where those "
    "are private, so may be its images."
)
OPTIONAL = {"tap": "", "std": None, "ratio": None}
"""Of a row of metrics: what the cards of shipped generators leave out."""
ARGUMENTS = ("features", "tap", "label", "n_real", "n_fake", "seed", "floor", "floor_std", "n_floor", "floor_draws")
"""What the metadata says of a metric besides its value."""

DATA = {MEDMNIST: "PneumoniaMNIST", KERMANY: "Kermany et al., chest X-rays"}
"""Citation of a source -> its name."""


def model_card(card: Mapping[str, Any]) -> str:
    """README.md of the repository of a generator with this card."""
    name, size = card["name"], card["model"]["image_size"]
    address = f"hf://{name}" if "/" in name else name
    rows = [OPTIONAL | row for row in card["metrics"]]
    return f"""---
{_metadata(card, rows)}
---

# {name.split("/")[-1]}

{card["what"]}. **{card["not_for"]}**

![{NUM_SHOWN} generated chest X-rays]({SHEET})

The images of the first {NUM_SHOWN} seeds, all of them generated and none cherry-picked.

## Use

```python
import cxrgan  # with its extra `hf`

generator = cxrgan.load_generator("{address}")
images = generator.sample(64, seed=0)  # (64, {size}, {size}) uint8
```

Every file that cxrgan writes says which generator and seed it is from, and anybody can prove it:
`cxrgan verify FILE --generator {address}` makes the image again.

## Limits

What the training images lack, these lack: other ages, devices, projections and diseases. They are {size} pixels a
side, and fine anatomy may be wrong where the whole looks right. Classes are those of the training data, and an image of
a class is evidence of no disease.

## Training

Recipe `{card["trained"]["recipe"]}` of cxrgan {card["cxrgan"]}, step {card["step"]}, on {_images(card)}.
Every setting is in `{CARD}`.

## Licence

{card["licence"]}.

## How good it is

Measured in float32. An arrow says which way is better; the floor is the score of real images against real images.

{_tables(rows)}

## Memorisation

{memorisation(card.get("audit"))}
"""


def _metadata(card: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The YAML: a line an entry, in the flow style."""
    licence = card["licence"]
    known = f"under {CC_BY};" in licence
    entries: dict[str, Any] = {
        "library_name": "cxrgan",
        "pipeline_tag": "unconditional-image-generation",
        "license": "cc-by-4.0" if known else "other",
        **({} if known else {"license_name": "that-of-the-training-images"}),
        **({"datasets": ["hf-vision/chest-xray-pneumonia"]} if licence.endswith(f": {KERMANY}") else {}),
        "tags": TAGS,
    }
    lines = [f"{key}: {_flow(value)}" for key, value in entries.items()]
    if rows:
        lines += [f"metrics: {_flow(list(dict.fromkeys(row['metric'] for row in rows)))}"]
        lines += ["model-index:", f"- name: {_flow(card['name'].split('/')[-1])}", "  results:"]
        lines += [f"  - {_flow(_result(row, licence))}" for row in rows]
    return "\n".join(lines)


def _result(row: Mapping[str, Any], licence: str) -> dict[str, Any]:
    """A measurement, as an entry of a model index."""
    data = next((name for cited, name in DATA.items() if cited in licence), "its training images")
    return {
        "task": {"type": "unconditional-image-generation"},
        "dataset": {"type": "chest-x-ray", "name": f"{data}{', ' + row['label'] if row['label'] else ''}"},
        "metrics": [
            {
                "type": row["metric"],
                "value": row["value"],
                "name": f"{row['metric'].replace('_', ' ')} ({row['features']})",
                "args": {name: row[name] for name in ARGUMENTS if row.get(name) not in (None, "")},
            }
        ],
    }


def _flow(value: Any) -> str:
    """A value in YAML's flow style; JSON but for numbers, of which YAML 1.1 reads 1e-05 as text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f"{value:.6f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _images(card: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count:,} {label}" for label, count in card["classes"].items())
    num = card["trained"].get("num_images", sum(card["classes"].values()))
    return f"{num:,} images" + (f" ({counts})" if counts else "")


def _tables(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = ["" if rows else "These weights were not measured (`cxrgan evaluate`)."]
    for group in evaluation_groups(rows):
        title = f"{group[0]['features']}, {group[0]['label'] or 'all images'}"
        counts = f"{group[0]['n_fake']:,} generated against {group[0]['n_real']:,} real images"
        table = _table(EVALUATION_COLUMNS, map(evaluation_cells, group))
        parts.append(f"{title}, {counts}:\n\n{table}\n\n{' '.join(evaluation_remarks(group))}")
    return "\n\n".join(parts).strip()


def memorisation(audit: Mapping[str, Any] | None) -> str:
    """What an audit found, if there was one, in Markdown."""
    if not audit:
        return NOT_AUDITED
    parts = [f"{audit_verdict(audit)} {audit_limits(audit)}"]
    parts += [f"{each.title}:\n\n{_table(each.columns, each.rows)}\n\n{each.note}" for each in audit_tables(audit)]
    return "\n\n".join(parts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
