"""The command that makes a run again: its recipe, and as flags every setting that is not the recipe's."""

import shlex
from dataclasses import replace

from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.runs.folder import RunInfo
from cxrgan.settings import differences


def command(info: RunInfo, name: str) -> str:
    """A `cxrgan train` for a shell, with DATASET for the dataset folder, which is nobody's business elsewhere."""
    recipe = nearest_recipe(info)
    flags = _flags(RECIPES[recipe], info.config)
    if info.started_from:
        flags += ["--start-from", f"runs/{info.started_from.run}"]
    return shlex.join(
        ["cxrgan", "train", "--data", "DATASET", "--recipe", recipe, *flags, "--run", f"runs/{name}-again"]
    )


def nearest_recipe(info: RunInfo) -> str:
    """The recipe that the run names, or of a run with settings of its own the one that differs in the fewest."""
    if info.recipe in RECIPES:
        return info.recipe
    return min(RECIPES, key=lambda name: len(_flags(RECIPES[name], info.config)))


def _flags(base: TrainConfig, config: TrainConfig) -> list[str]:
    """What takes the command line from `base` to `config`."""
    model = replace(config.model, num_classes=base.model.num_classes)  # it follows from --conditional and the data
    changed = {name: new for name, (_, new) in differences(base, replace(config, model=model)).items()}
    if config.steps is not None:
        changed.pop("epochs", None)  # they say nothing beside a length in steps
    elif changed.pop("steps", 0) is None:
        changed["epochs"] = config.epochs  # a length in epochs replaces one in steps
    flags = []
    for name, value in changed.items():
        flag = name.removeprefix("model.").replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{'' if value else 'no-'}{flag}")
        else:
            flags += [f"--{flag}", repr(value) if isinstance(value, float) else str(value)]
    return flags
