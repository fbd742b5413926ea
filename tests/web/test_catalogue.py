"""Which runs, generators and datasets the page can open."""

import shutil
from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from cxrgan.errors import UserError
from cxrgan.generation.shipped import GENERATORS
from cxrgan.web.catalogue import MOST_LOADED, Catalogue


def test_runs_of_the_folder_and_of_sweeps_in_it_are_found(root: Path) -> None:
    shutil.copytree(root / "first", root / "sweep" / "second")
    shutil.copytree(root / "first", root / "a" / "b" / "too-deep")
    assert set(Catalogue(root).runs()) == {"first", "sweep/second"}


def test_a_folder_that_is_a_run_is_that_run(root: Path) -> None:
    assert list(Catalogue(root / "first").runs()) == ["first"]


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    assert Catalogue(tmp_path / "runs").runs() == {}


def test_a_link_out_of_the_folder_is_no_run(root: Path, tmp_path: Path) -> None:
    shutil.move(root / "first", tmp_path / "elsewhere")
    (root / "first").symlink_to(tmp_path / "elsewhere")
    assert Catalogue(root).runs() == {}


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "", ".", "first/../first", "first\0", "FIRST"])
def test_a_name_that_is_not_listed_opens_nothing(root: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(root / "first", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no run"):
        Catalogue(root).run(name)
    with pytest.raises(UserError, match="no run"):
        Catalogue(root).generator(name)


def test_a_hostile_name_is_a_name(root: Path) -> None:
    name = '"><script>alert(1)</script>'.replace("/", "\u2215") + "\n\x1b[31m"
    shutil.copytree(root / "first", root / name)
    assert Catalogue(root).run(name).read_info().recipe


def test_generators_are_the_shipped_ones_and_runs_with_a_checkpoint(root: Path) -> None:
    shutil.copytree(root / "first", root / "begun")
    shutil.rmtree(root / "begun" / "checkpoints")
    assert Catalogue(root).generators() == [*GENERATORS, "first"]


def test_a_run_that_trained_on_gives_its_newest_generator(root: Path) -> None:
    catalogue = Catalogue(root)
    before = catalogue.generator("first")
    assert catalogue.generator("first") is before
    newest = root / "first" / "checkpoints" / "step-000008"
    shutil.copytree(newest, newest.with_name("step-000009"))
    assert (before.step, catalogue.generator("first").step) == (8, 9)


def test_few_generators_stay_in_memory(root: Path) -> None:
    catalogue = Catalogue(root)
    for index in range(MOST_LOADED + 2):
        shutil.copytree(root / "first", root / f"copy-{index}")
        catalogue.generator(f"copy-{index}")
    assert len(catalogue._loaded) == MOST_LOADED


def test_datasets_are_those_given_and_those_of_the_runs(root: Path, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "prepared" / "other")
    catalogue = Catalogue(root, [tmp_path / "prepared"])
    assert set(catalogue.datasets()) == {"other", "data"}
    assert catalogue.dataset("other") == tmp_path / "prepared" / "other"
    with pytest.raises(UserError, match="no prepared dataset"):
        catalogue.dataset("../prepared/other")


def test_a_damaged_run_hides_no_other(root: Path) -> None:
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("{")
    catalogue = Catalogue(root)
    assert set(catalogue.runs()) == {"broken", "first"}
    assert set(catalogue.datasets()) == {"data"}
