"""The command on the page makes the run again."""

import shlex
from dataclasses import replace

import pytest

from cxrgan.cli.main import _parse
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.reports.command import command
from cxrgan.runs.folder import RunInfo

QUICK = RECIPES["quick"]


def again(recipe: str, config: TrainConfig, name: str = "run") -> tuple[list[str], TrainConfig]:
    """The words of the command, and the config that the command line makes of them."""
    words = shlex.split(command(RunInfo(recipe, config, "/home/me/xrays", "", 40, {}), name))
    return words, _parse(words[1:]).settings


@pytest.mark.parametrize(
    ("recipe", "config"),
    [
        *RECIPES.items(),
        ("dcgan", replace(RECIPES["dcgan"], steps=7, lr=1.5e-5, seed=3, compile=True, device="cpu", precision="fp32")),
        ("quick", replace(QUICK, steps=None, epochs=2.5, evaluate_every=50, sample_every=None)),
        ("fast-64", replace(RECIPES["fast-64"], conditional=True, loss="saturating", keep_checkpoints=5)),
        ("custom", replace(RECIPES["stable-128"], augment=0.25)),
        ("my-own", replace(QUICK, model=replace(QUICK.model, image_size=32, ngf=8, leaky_relu_slope=0.1))),
    ],
)
def test_the_command_line_makes_the_config_of_the_run(recipe: str, config: TrainConfig) -> None:
    assert again(recipe, config)[1] == config


def test_an_own_experiment_starts_from_the_recipe_that_it_is_nearest_to() -> None:
    words, _ = again("wide", replace(RECIPES["stable-128"], augment=0.25))
    assert words[1:-2] == ["train", "--data", "DATASET", "--recipe", "stable-128", "--augment", "0.25"]


def test_a_scaled_run_of_both_lengths_goes_by_its_steps() -> None:
    config = replace(QUICK, steps=120, epochs=4)  # as `experiments --scale 0.1` has it
    assert again("quick", config)[1] == replace(config, epochs=QUICK.epochs)


def test_the_number_of_classes_comes_from_the_data() -> None:
    config = replace(QUICK, conditional=True, model=replace(QUICK.model, num_classes=2))
    assert again("quick", config)[1] == replace(config, model=QUICK.model)


@pytest.mark.parametrize("name", ["-x", "a b", "$(rm -rf ~)", "'; echo"])
def test_the_name_of_a_run_is_one_harmless_word(name: str) -> None:
    words, _ = again("quick", QUICK, name)
    assert words[-2:] == ["--run", f"runs/{name}-again"]
