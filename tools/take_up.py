"""Make a run of a shipped generator and its discriminator, for `cxrgan train --start-from` to go on from.

    python -m tools.take_up cxr-128 runs/cxr-128
    cxrgan train --data data/cxr128 --run runs/more --recipe stable-128 --conditional --start-from runs/cxr-128

A training of days outlives the machines that it runs on: `tools/ship.py` keeps each shipped run's discriminator, as
float16, in `tools/discriminators`. The optimisers begin anew, and the generator is its moving average.
"""

import argparse
from pathlib import Path

import torch

from cxrgan.generation.shipped import read_card, read_generator
from cxrgan.models.build import build_discriminator
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.checkpoint import Progress, save_checkpoint
from cxrgan.runs.folder import Ancestor, RunFolder, RunInfo
from cxrgan.runs.log import append_rows
from cxrgan.settings import from_dict
from cxrgan.tensors import layout_of, read_tensors

DISCRIMINATORS = Path(__file__).parent / "discriminators"


def take_up(name: str, run: Path) -> None:
    """Write the run folder, with the checkpoint of the step that was shipped."""
    card, shipped = read_card(name), read_generator(name)
    trained = card["trained"]
    config = from_dict(trained["config"], TrainConfig(), where=f"{name}, config")
    discriminator = build_discriminator(config.model)
    weights = read_tensors(
        DISCRIMINATORS / f"{name}.safetensors", layout_of(discriminator.state_dict()), mend="ship it again", halves=True
    )
    discriminator.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()})
    ancestor = trained["started_from"]
    folder = RunFolder(run)
    folder.create(
        RunInfo(
            recipe=trained["recipe"],
            config=config,
            data=name,
            data_sha256=trained["data"],
            num_images=trained["num_images"],
            classes=shipped.classes,
            started_from=Ancestor(**ancestor) if ancestor else None,
        )
    )
    append_rows(folder.metrics_file, [{"step": shipped.step, "seconds": trained["seconds"]}])
    save_checkpoint(
        folder.checkpoint(shipped.step),
        networks={"generator": shipped.network, "average": shipped.network, "discriminator": discriminator},
        optimizers={},
        config=config,
        progress=Progress(shipped.step, trained["seconds"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"one of {', '.join(sorted(file.stem for file in DISCRIMINATORS.glob('*')))}")
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    take_up(arguments.name, arguments.run)


if __name__ == "__main__":
    main()
