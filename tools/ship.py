"""Make the files of a shipped generator from a run and the dataset it was trained on.

    python tools/ship.py RUN --data DIR --name cxr-64 --reference kermany-64 --machine TEXT [--pairs FILE]
    python tools/ship.py --name cxr-64 --reference kermany-64 [--data DIR]  # measures NAME again and renews its card
    python tools/ship.py --data DIR --reference kermany-64          # the reference alone
    python tools/model_cards.py

Writes src/cxrgan/assets/NAME.safetensors (the averaged generator as float16) with its card NAME.json, and
REFERENCE.safetensors (the domain networks' features of the training images, float16) with its card. The card has the
metrics of the float16 generator against those features, as `cxrgan evaluate NAME --data REFERENCE` gives them, and what
`cxrgan audit NAME --data DIR [--held-out DIR]` finds. The discriminator goes to tools/discriminators/NAME.safetensors,
so that `tools/take_up.py` can go on from there. --pairs draws its strongest pairs to look at; they show patients
and stay private.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_arrays

import cxrgan
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.data.sources.record import CC_BY, KERMANY
from cxrgan.evaluation.audit import audit
from cxrgan.evaluation.compare import compare
from cxrgan.evaluation.features import cache_folder, extract
from cxrgan.evaluation.rulers import SHIPPED
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.evaluation.sets import reference_set, run_set
from cxrgan.files import write_bytes, write_json
from cxrgan.generation.generator import load_generator
from cxrgan.generation.pack import FLOOR, INTENDED_USE, MEASURED, describe
from cxrgan.generation.packed import encode_weights
from cxrgan.generation.shipped import read_card
from cxrgan.models.build import build_discriminator
from cxrgan.runs.checkpoint import load_network
from cxrgan.runs.folder import RunFolder
from cxrgan.tensors import parse_tensors
from tools.take_up import DISCRIMINATORS

ASSETS = Path(cxrgan.__file__).parent / "assets"
LICENCE = f"images under {CC_BY}; keep this attribution where the weights are shared: {KERMANY}"
KNOWN = "Chest X-rays of children of one hospital; other ages, devices and diseases are missing."


def write_generator(run: Path, name: str, machine: str) -> dict[str, Any]:
    """The averaged weights as float16; what the card says of them."""
    generator, folder = load_generator(run), RunFolder(run)
    content = encode_weights(generator.network, half=True)
    write_bytes(ASSETS / f"{name}.safetensors", content)
    write_discriminator(folder, generator.step, name)
    card = describe(folder, generator, name, content)
    trained = card["trained"] | {"machine": machine}
    return card | {"not_for": f"{INTENDED_USE} {KNOWN}", "licence": f"Trained on {LICENCE}", "trained": trained}


def write_discriminator(folder: RunFolder, step: int, name: str) -> None:
    """The same step's discriminator as float16, from which `tools/take_up.py` goes on."""
    discriminator = build_discriminator(folder.read_info().config.model)
    load_network(folder.checkpoint(step), "discriminator", discriminator)
    write_bytes(DISCRIMINATORS / f"{name}.safetensors", encode_weights(discriminator, half=True))


def write_reference(data: Path, name: str, networks: Sequence[FeatureNetwork]) -> None:
    """The networks' features of the training images, and their classes.

    Features that the file already has of these images stay: another processor would change their last bits.
    """
    dataset = load_dataset(data)
    known = shipped_features(name, dataset)
    tensors: dict[str, NDArray[Any]] = {"labels": dataset.labels.astype(np.uint8)}
    for network in networks:
        key = f"{network.sha256}/{network.main_tap}"
        if key not in known:
            features = extract(network, dataset.images, cache=cache_folder())[network.main_tap]
            known[key] = features.astype(np.float16)
        tensors[key] = known[key]
    content = save_arrays(tensors)
    write_bytes(ASSETS / f"{name}.safetensors", content)
    card = {
        "name": name,
        "what": f"Features of {len(dataset.images)} chest X-rays by {' and '.join(each.name for each in networks)}; "
        "the images themselves are not included",
        "licence": f"Computed from {LICENCE}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "image_size": dataset.image_size,
        "split": dataset.split,
        "classes": list(dataset.classes),
        "data": dataset.sha256,
    }
    write_json(ASSETS / f"{name}.json", card)


def shipped_features(name: str, dataset: Dataset) -> dict[str, NDArray[Any]]:
    """What the reference has so far, if it is of these images."""
    file = ASSETS / f"{name}.safetensors"
    if not file.exists() or read_card(name)["data"] != dataset.sha256:
        return {}
    return parse_tensors(file.read_bytes())


def measure(name: str, reference: str, networks: Sequence[FeatureNetwork]) -> list[dict[str, Any]]:
    """Rows for a generator's card: as many of its images as there are real ones, against the shipped features."""
    real = reference_set(reference)
    rows = compare(real=real, fake=run_set(Path(name), real.num, seed=0), networks=networks, cache=cache_folder())
    return [{key: row[key] for key in (*MEASURED, *FLOOR)} for row in rows]


def audited(name: str, data: Path, held_out: Path | None, pairs: Path | None) -> dict[str, Any]:
    """The audit for a generator's card; no pairs, which name files of patients."""
    found = audit(Path(name), data, held_out=held_out, pairs=pairs)
    return {key: value for key, value in asdict(found).items() if key != "pairs"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--machine", help="what it was trained on, in words")
    parser.add_argument("--held-out", type=Path, help="real images for the audit, where the dataset has none")
    parser.add_argument("--pairs", type=Path)
    arguments = parser.parse_args()
    networks, _ = load_networks(SHIPPED, device="cpu")
    if arguments.name is None:
        write_reference(arguments.data, arguments.reference, networks)
        return
    if arguments.run is None:
        card = read_card(arguments.name) | {"metrics": measure(arguments.name, arguments.reference, networks)}
        if arguments.data:
            card["audit"] = audited(arguments.name, arguments.data, arguments.held_out, arguments.pairs)
        write_json(ASSETS / f"{arguments.name}.json", card)
        return
    if not (arguments.data and arguments.machine):
        parser.error("a run is shipped with --data and --machine")
    card = write_generator(arguments.run, arguments.name, arguments.machine)
    write_json(ASSETS / f"{arguments.name}.json", card)
    write_reference(arguments.data, arguments.reference, networks)
    card["metrics"] = measure(arguments.name, arguments.reference, networks)
    card["audit"] = audited(arguments.name, arguments.data, arguments.held_out, arguments.pairs)
    write_json(ASSETS / f"{arguments.name}.json", card)
    print(json.dumps(card["audit"], indent=2))


if __name__ == "__main__":
    main()
