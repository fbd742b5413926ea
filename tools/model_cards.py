"""`python tools/model_cards.py` writes docs/model-cards.md from the cards of the shipped generators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrgan.data.sources.record import KERMANY
from cxrgan.files import write_bytes
from cxrgan.generation.shipped import GENERATORS, read_card

PAGE = Path(__file__).parent.parent / "docs" / "model-cards.md"

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

FOOT = """The nearest pairs were also inspected: they share pose and brightness, and differ in ribs, heart and borders.
This is a first check, not an audit: it finds copies of whole images but not of details, and says nothing about a
single patient's right to be forgotten.
"""

SHARE = (".2f", ".3f")
METRICS = {"frechet_distance": (".1f", ".2f"), "precision": SHARE, "recall": SHARE, "density": SHARE, "coverage": SHARE}
"""Metric -> how its values are printed, and how its floors."""


def section(card: Mapping[str, Any]) -> str:
    """What a reader must know about one generator."""
    name, size, trained = card["name"], card["model"]["image_size"], card["trained"]
    counts = ", ".join(f"{count:,} {label}" for label, count in card["classes"].items())
    pictures = " | ".join(
        f"![32 generated chest X-rays of the class {label}](cxr-{size}-{label.lower()}.png)"
        for label in card["classes"]
    )
    networks = dict.fromkeys(row["features"] for row in card["metrics"])
    nearest = [
        f"| {how} | {found['fake_to_train']:.4g} | {found['held_out_to_train']:.4g} | {found['too_near']:.1%} |"
        for how, found in card["nearest_training_images"].items()
    ]
    return f"""## {name}

Recipe `{trained["recipe"]}`, conditional, {trained["config"]["epochs"]:g} epochs (step {card["step"]}):
{trained["seconds"] / 60:.0f} minutes on {trained["machine"]}. Weights in float16.
Trained on {sum(card["classes"].values()):,} images of the training split: {counts}.

| {" | ".join(card["classes"])} |
|{" --- |" * len(card["classes"])}
| {pictures} |

Compared with the training images, as many generated as real ones. In brackets is the floor, the score of real images
against other real images, with the deviation of its draws ([how](metrics.md#the-floor)). A Frechet distance of these
networks is not an FID. Checkpoints are chosen with cxr-domain-v1, and nothing is chosen with cxr-domain-v2
([why two](metrics.md#chosen-on-v1-reported-on-v2)).

{(chr(10) * 2).join(_table(card, features) for features in networks)}

Are they copies? The table gives the median distance to the nearest training image, for generated images and for
held-out test images (other patients), and the share of generated images that are nearer than all but 1 % of the
held-out ones (chance gives 1 %):

| compared by | generated | held out | too near |
| --- | --- | --- | --- |
{chr(10).join(nearest)}
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


if __name__ == "__main__":
    write_bytes(PAGE, page().encode())
