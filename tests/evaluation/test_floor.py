"""The floor: a mean over disjoint draws, at the numbers of the comparison, kept beside the features."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from cxrgan.evaluation import floor as floor_module
from cxrgan.evaluation.floor import Draws, frechet_correction, kept_floors, measure_floors
from cxrgan.evaluation.metrics import Features, frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.generation.shipped import read_reference


def distance(real: Features, fake: Features) -> dict[str, float]:
    return {"frechet_distance": frechet_distance(real=real, fake=fake)}


def normal(num: int, seed: int = 0) -> Features:
    """(num, 12) features of unequal spread."""
    return np.asarray(np.random.default_rng(seed).normal(size=(num, 12)) * np.arange(1, 13))


def test_draws_are_disjoint_and_of_the_numbers_of_the_comparison_where_they_fit() -> None:
    draws = Draws(60, 30, num=5, seed=0)
    seen = list(draws.rows(100))
    assert [(len(a), len(b)) for a, b in seen] == [(60, 30)] * 5
    assert all(len(set(a) | set(b)) == 90 for a, b in seen)
    assert len({tuple(a) for a, _ in seen}) == 5


def test_draws_that_do_not_fit_keep_the_proportion_and_use_every_image() -> None:
    assert Draws(5190, 5190, 1, 0).numbers(5190) == (2595, 2595)
    assert Draws(5190, 1000, 1, 0).numbers(5190) == (4352, 838)
    assert Draws(6, 1000, 1, 0).numbers(6) == (2, 4)
    assert Draws(0, 300, 1, 0).numbers(100) == (0, 100)  # a metric of the generated alone
    assert Draws(0, 30, 1, 0).numbers(100) == (0, 30)


def test_the_floor_is_what_fresh_images_of_the_same_kind_get_at_the_numbers_of_the_comparison() -> None:
    n_real, n_fake = 400, 200
    truth = [
        frechet_distance(real=normal(n_real, seed=2 * i), fake=normal(n_fake, seed=2 * i + 1)) for i in range(1, 65)
    ]
    draws = Draws(n_real, n_fake, 64, 0)
    found = measure_floors(distance, normal(n_real), draws)["frechet_distance"]
    assert found.mean == pytest.approx(np.mean(truth), rel=0.1)
    assert found.std == pytest.approx(np.std(truth), rel=0.5)
    halves = frechet_distance(real=normal(400)[:200], fake=normal(400)[200:])
    assert halves > 1.2 * found.mean  # what the floor was before: at other numbers


@pytest.mark.parametrize("network", get_args(DomainName))
def test_the_law_that_corrects_it_holds_for_the_shipped_features(network: DomainName) -> None:
    features = read_reference("kermany-64").features[load_domain(network).sha256]["features"]

    def at(n_real: int, n_fake: int) -> float:
        return measure_floors(distance, features, Draws(n_real, n_fake, 24, 0))["frechet_distance"].mean

    halves = at(2595, 2595)
    for numbers in ((1000, 1000), (1000, 2000)):
        assert frechet_correction(numbers, (2595, 2595)) * at(*numbers) == pytest.approx(halves, rel=0.15)


def test_metrics_that_depend_on_the_proportion_alone_are_not_corrected() -> None:
    def manifold(real: Features, fake: Features) -> dict[str, float]:
        return manifold_metrics(real=real, fake=fake)._asdict()

    features = normal(100)
    found = measure_floors(manifold, features, Draws(100, 100, 3, 7))
    drawn = [manifold(features[a], features[b]) for a, b in Draws(100, 100, 3, 7).rows(100)]
    assert found["recall"].mean == pytest.approx(np.mean([values["recall"] for values in drawn]))
    assert found["recall"].std == pytest.approx(np.std([values["recall"] for values in drawn], ddof=1))


@pytest.mark.parametrize("num", [0, 1, 2, 3])
def test_too_few_real_images_have_no_floor(num: int) -> None:
    assert measure_floors(distance, normal(num), Draws(num, 1000, 4, 0)) == {}


def test_four_real_images_have_one() -> None:
    assert measure_floors(distance, normal(4), Draws(4, 1000, 4, 0))["frechet_distance"].mean > 0


def test_floors_are_kept_for_the_same_features_and_numbers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, draws = normal(40), Draws(40, 40, 3, 0)
    first = kept_floors(distance, features, draws, name="distance", cache=tmp_path)
    count = 0

    def counted(*arguments: object) -> dict[str, floor_module.Floor]:
        nonlocal count
        count += 1
        return first

    monkeypatch.setattr(floor_module, "measure_floors", counted)
    assert kept_floors(distance, features, draws, name="distance", cache=tmp_path) == first
    assert count == 0
    changed = features.copy()
    changed[3, 2] += 1e-6
    kept_floors(distance, changed, draws, name="distance", cache=tmp_path)
    kept_floors(distance, features, Draws(40, 20, 3, 0), name="distance", cache=tmp_path)
    kept_floors(distance, features, Draws(40, 40, 3, 1), name="distance", cache=tmp_path)
    kept_floors(distance, features, draws, name="kernel", cache=tmp_path)
    assert count == 4


@pytest.mark.parametrize("content", ["", "[1]", '{"frechet_distance": {"mean": "<b>"}}'])
def test_a_damaged_file_of_floors_is_made_again(tmp_path: Path, content: str) -> None:
    features, draws = normal(40), Draws(40, 40, 3, 0)
    first = kept_floors(distance, features, draws, name="distance", cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert kept_floors(distance, features, draws, name="distance", cache=tmp_path) == first
    file.unlink()
    assert kept_floors(distance, features, draws, name="distance", cache=tmp_path / "file" / "below") == first
