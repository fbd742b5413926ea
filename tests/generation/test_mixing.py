"""Style mixing: the layout of one seed with the style of another."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TINY

from cxrgan.cli.main import main
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.models.build import build_generator


@pytest.fixture(scope="module")
def shipped() -> TrainedGenerator:
    return load_generator("cxr-64")


def test_the_diagonal_has_the_seeds_own_images(shipped: TrainedGenerator) -> None:
    for truncation in (1.0, 0.7):
        mixed = shipped.mix((3, 7, 12), "NORMAL", truncation=truncation)
        assert mixed.shape == (9, 64, 64)
        for place, seed in enumerate((3, 7, 12)):
            own = shipped.sample(1, seed, "NORMAL", truncation=truncation)[0]
            assert np.abs(mixed[4 * place].astype(int) - own).max() <= 1


def test_a_row_keeps_the_layout_and_a_column_the_exposure(shipped: TrainedGenerator) -> None:
    """Measured on the sheet: brightness follows the style, the place of the edges the latent below."""
    mixed = shipped.mix(tuple(range(12)), "PNEUMONIA").reshape(12, 12, 64, 64).astype(float)
    brightness = mixed.mean((2, 3))
    assert brightness.mean(0).std() > 2 * brightness.mean(1).std()


def test_mixing_is_refused_where_it_cannot_be(shipped: TrainedGenerator, tmp_path: Path) -> None:
    for seeds in [(1,), tuple(range(17)), (-1, 2)]:
        with pytest.raises(UserError, match="cannot mix"):
            shipped.mix(seeds)
    plain = TrainedGenerator("old", TINY.model, build_generator(TINY.model), 1, {})
    with pytest.raises(UserError, match="old has no styles to mix"):
        plain.mix((1, 2))


def test_the_command_writes_a_sheet(tmp_path: Path) -> None:
    assert main(["generate", "cxr-64", "--mix", "3", "7", "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "mix-3-7.png") as sheet:
        assert sheet.size == (2 * 66 + 2, 2 * 66 + 2)
    assert main(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("other", [["--interpolate", "1", "2"], ["--format", "npz"]])
def test_a_mixture_beside_what_it_would_hide_is_refused(
    other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "cxr-64", "--mix", "1", "2", *other, "--out", str(tmp_path / "out")]) == 2
    assert "--mix makes one PNG" in capsys.readouterr().err


def test_a_film_without_an_interpolation_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cxr-64", "--mp4", "--out", str(tmp_path / "out")]) == 2
    assert "give --interpolate A B" in capsys.readouterr().err
