"""`python tools/model_cards.py` writes docs/model-cards.md from the cards of the shipped generators, and draws their
pictures.

The pictures are those of the first seeds: of each class for the cards, and of classes as they come for the README.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrgan.console import duration
from cxrgan.data.sources.record import KERMANY
from cxrgan.files import write_bytes
from cxrgan.generation.card import memorisation
from cxrgan.generation.generator import load_generator
from cxrgan.generation.provenance import png_texts
from cxrgan.generation.shipped import GENERATORS, read_card
from cxrgan.images import encode_png, grid

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "model-cards.md"
NUM_SHOWN = {64: (32, 8), 128: (32, 8), 256: (8, 4)}
"""Pixels a side -> images of a class that are shown, and how many beside each other."""
NUM_IN_README = {64: (32, 8), 128: (8, 4), 256: (3, 3)}

HEAD = f"""# Model cards

These generators are shipped with the package and work at once, offline:

```
cxrgan generate cxr-64 --num 64 --out images       # --label NORMAL or --label PNEUMONIA chooses the class
cxrgan evaluate cxr-64 --data kermany-64           # against the shipped features of the real images
```

Each card below is also a file, `src/cxrgan/assets/NAME.json`, with the SHA-256 of the weights and every setting.

**Intended use.** Research and teaching: to see what a GAN makes of these data, to test code that handles chest X-rays,
to compare with a generator of your own.

**Not intended.** No diagnosis; no clinical use; no training or testing of clinical software without real data; do not
present the images as patients.

**Limits.** The training images show children of one hospital in Guangzhou, taken with its devices. There are two
labels, and PNEUMONIA combines bacterial and viral. Other ages, projections and diseases are missing, and the
proportion of the classes is that of the data set, not of any clinic. Fine anatomy does not hold up at full size.

**Licence.** The package's licence is MIT. The weights and features were made from images under CC BY 4.0, so keep this
line wherever you share them: {KERMANY}.
"""

FOOT = """What an audit does, what it finds of planted copies and what it cannot tell is in [Trust](trust.md). It says
nothing about a single patient's right to be forgotten.
"""

SHARE = (".2f", ".3f")
METRICS = {"frechet_distance": (".1f", ".2f"), "precision": SHARE, "recall": SHARE, "density": SHARE, "coverage": SHARE}
"""Metric -> how its values are printed, and how its floors."""


def section(card: Mapping[str, Any]) -> str:
    """What a reader must know about one generator."""
    name, size, trained = card["name"], card["model"]["image_size"], card["trained"]
    counts = ", ".join(f"{count:,} {label}" for label, count in card["classes"].items())
    pictures = " | ".join(
        f"![{NUM_SHOWN[size][0]} generated chest X-rays of the class {label}]({name}-{label.lower()}.png)"
        for label in card["classes"]
    )
    began = trained.get("started_from")
    grown = (
        f" It began with the weights of a generator of half the size after {duration(began['seconds'])} of training."
        if began
        else ""
    )
    networks = dict.fromkeys(row["features"] for row in card["metrics"])
    return f"""## {name}

Recipe `{trained["recipe"]}`, conditional, step {card["step"]:,}:
{duration(trained["seconds"])} on {trained["machine"]}.{grown}
Weights in float16.
Trained on {sum(card["classes"].values()):,} images of the training split: {counts}.

| {" | ".join(card["classes"])} |
|{" --- |" * len(card["classes"])}
| {pictures} |

Compared with the training images, as many generated as real ones. In brackets is the floor, the score of real images
against other real images, with the deviation of its draws ([how](metrics.md#the-floor)). A Frechet distance of these
networks is not an FID. Checkpoints are chosen with cxr-domain-v1, and nothing is chosen with cxr-domain-v2
([why two](metrics.md#chosen-on-v1-reported-on-v2)).

{(chr(10) * 2).join(_table(card, features) for features in networks)}

### Are they copies?

{memorisation(card["audit"])}
"""


def _table(card: Mapping[str, Any], features: str) -> str:
    """The metrics by one network, a row for all images and for each class."""
    measured = {(row["metric"], row["label"]): row for row in card["metrics"] if row["features"] == features}
    rows = [
        f"| {label or 'all'} | "
        + " | ".join(
            f"{measured[metric, label]['value']:{form}} ({_floor(measured[metric, label], of_floor)})"
            for metric, (form, of_floor) in METRICS.items()
        )
        + " |"
        for label in (None, *card["classes"])
    ]
    others = " | ".join(metric for metric in METRICS if metric != "frechet_distance")
    return f"""| images | Frechet distance ({features}) | {others} |
|{" --- |" * (1 + len(METRICS))}
{chr(10).join(rows)}"""


def _floor(row: Mapping[str, Any], form: str) -> str:
    return f"{row['floor']:{form}} ± {row['floor_std']:{form}}"


def page() -> str:
    """docs/model-cards.md."""
    return "\n".join([HEAD, *(section(read_card(name)) for name in GENERATORS), FOOT])


def draw(name: str, label: str | None, num: int, columns: int) -> bytes:
    """A PNG of the first seeds of a generator."""
    samples = load_generator(name).sample(num, 0, label)
    return encode_png(
        grid(samples.images, columns=columns), texts=png_texts(samples.origin, "grid", samples.seeds, samples.labels)
    )


if __name__ == "__main__":
    write_bytes(PAGE, page().encode())
    for name in GENERATORS:
        card = read_card(name)
        size = card["model"]["image_size"]
        write_bytes(DOCS / f"readme-cxrgan-{size}.png", draw(name, None, *NUM_IN_README[size]))
        for label in card["classes"]:
            write_bytes(DOCS / f"{name}-{label.lower()}.png", draw(name, label, *NUM_SHOWN[size]))
