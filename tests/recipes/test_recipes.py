"""The recipes hold the reports' settings, and settings from files are checked."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from mutations import check_no_file, mutated

from cxrgan.errors import UserError
from cxrgan.images import IMAGE_SIZES
from cxrgan.models.grow import check_can_become, grown
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import DCGAN, RECIPES, fitted, recipe, recommended
from cxrgan.settings import differences, from_dict, read_toml

PUBLISHED = {  # image size, latent, ngf, ndf, epochs, lr: the first report's table
    "exp1": (64, (100, 1, 1), 64, 64, 50, 1e-4),
    "exp2": (64, (200, 1, 1), 64, 64, 50, 1e-4),
    "exp3": (64, (100, 1, 1), 64, 64, 50, 2e-4),
    "exp4": (64, (100, 1, 1), 64, 64, 50, 1e-3),
    "exp5": (128, (100, 5, 5), 128, 32, 20, 2e-4),
    "exp6": (128, (100, 1, 1), 64, 16, 20, 2e-4),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_experiment_is_the_published_one(name: str) -> None:
    config, model = RECIPES[name], RECIPES[name].model
    settings = (model.image_size, model.latent_shape, model.ngf, model.ndf, config.epochs, config.lr)
    assert settings == PUBLISHED[name]
    assert (model.channels, config.batch_size, model.leaky_relu_slope, config.beta1) == (3, 64, 0.2, 0.5)
    assert config.loss == "non-saturating"


def test_fifty_epochs_of_the_real_set_are_4075_steps() -> None:
    assert RECIPES["exp3"].num_steps(5216) == 4075
    assert dataclasses.replace(RECIPES["exp3"], steps=7).num_steps(5216) == 7


@pytest.mark.parametrize(("small", "large"), [(64, 128), (128, 256), (256, 512)])
def test_a_stable_recipe_grows_into_that_of_twice_the_size(small: int, large: int) -> None:
    one, two = RECIPES[f"stable-{small}"], RECIPES[f"stable-{large}"]
    assert dataclasses.replace(two.model, detail=one.model.detail) == grown(one.model)
    check_can_become(one.model, two.model)
    assert two.gradient_penalty == 4 * one.gradient_penalty


def test_every_size_has_a_recipe_to_begin_with() -> None:
    assert [recommended(size) for size in (32, 64, 66, 128, 130, 256, 258, 512)] == [
        *("fast-64", "fast-64", "stable-128", "stable-128"),
        *("stable-256", "stable-256", "stable-512", "stable-512"),
    ]
    for size in IMAGE_SIZES:
        assert fitted(RECIPES[recommended(size)], size).model.image_size == size


def test_a_config_survives_json() -> None:
    config = RECIPES["exp5"]
    assert from_dict(json.loads(json.dumps(dataclasses.asdict(config))), DCGAN, where="test") == config


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"my\.toml: there is no setting 'batchsize'; did you mean 'batch_size'"):
        from_dict({"batchsize": 3}, DCGAN, where="my.toml")
    with pytest.raises(UserError, match=r"my\.toml, model: there is no setting 'nfg'; did you mean 'ngf'"):
        from_dict({"model": {"nfg": 3}}, DCGAN, where="my.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": "fast"}, "lr is 'fast', but must be a number"),
        ({"steps": 1.5}, r"steps is 1.5, but must be a whole number"),
        ({"batch_size": True}, "batch_size is True, but must be a whole number"),
        ({"compile": 1}, "compile is 1, but must be true or false"),
        ({"precision": "fp64"}, "precision is 'fp64', but must be one of 'auto', 'fp32', 'bf16'"),
        ({"lr": 0.0}, "lr is 0.0, but must be above 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 1}, "batch_size is 1, but must be at least 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"beta1": 1.0}, r"beta1 is 1.0, but must lie in \[0, 1\)"),
        ({"steps": 0}, "steps is 0, but must be at least 1"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dict(values, DCGAN, where="here")


def test_no_setting_of_a_file_is_too_hostile_to_be_read_or_refused() -> None:
    for what, values in mutated(dataclasses.asdict(RECIPES["exp5"])):
        try:
            config = from_dict(values, DCGAN, where="my.toml")
        except UserError as error:
            message = str(error)
            if not message.startswith("my.toml"):
                pytest.fail(f"{what}: {message}")
        else:
            assert config.num_steps(5216) * config.batch_size < 2**63


@pytest.mark.parametrize("content", [b"\xff", b"lr = ", b"a = " + b"[" * 5000, b"x" * 2**21])
def test_a_file_of_settings_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"my\.toml.*give a TOML file of settings"):
        read_toml(file)


def test_a_fifo_of_settings_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("lr = 1e-3")
    check_no_file(tmp_path / "my.toml", lambda: read_toml(tmp_path / "my.toml"))


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"no recipe 'exp7'; the recipes are dcgan, quick, fast-64, stable-64, stable-128"
    ):
        recipe("exp7")


def test_differences_name_nested_fields() -> None:
    assert differences(RECIPES["exp3"], RECIPES["exp6"]) == {
        "model.image_size": (64, 128),
        "model.ndf": (64, 16),
        "epochs": (50, 20),
    }
    assert differences(DCGAN, TrainConfig()) == {}


def test_the_published_figures_file_agrees() -> None:
    data = Path(os.environ.get("CXRGAN_TEST_DATA", "../shared/data"))
    file = data.parent / "reference" / "seed_experiments.json"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    for row in json.loads(file.read_text())["report_azim"]["experiments"]:
        size, latent, ngf, ndf, epochs, lr = PUBLISHED[row["name"]]
        assert (size, "x".join(map(str, latent))) == (row["image_size"], row["latent"])
        assert (ngf, ndf, epochs, lr) == (row["ngf"], row["ndf"], row["epochs"], row["lr"])
