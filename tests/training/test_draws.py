"""A step's random numbers: the same whether they are drawn one by one or at the start, on one process or several."""

import pytest
import torch
from tiny import TINY
from torch import Tensor

from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64
from cxrgan.training.augment import draw_alterations
from cxrgan.training.distributed import ALONE, Processes
from cxrgan.training.draws import draw, step_random

CPU = torch.device("cpu")


@pytest.mark.parametrize(("config", "num_views"), [(TINY, 3), (FAST_64, 4)])
def test_what_is_drawn_at_the_start_is_what_each_part_would_draw_in_its_turn(
    config: TrainConfig, num_views: int
) -> None:
    random = step_random(config, 7)
    latents = torch.randn(24, *config.model.latent_shape, generator=random)
    views = [draw_alterations(24, 0.5, random) for _ in range(num_views)]
    drawn = draw(config, 7, 24, 0.5, CPU)
    assert torch.equal(drawn.latents, latents)
    assert drawn.views is not None
    assert torch.equal(drawn.views, torch.stack(views))


def test_without_augmentation_there_are_no_views() -> None:
    assert draw(FAST_64, 1, 8, 0.0, CPU).views is None


def test_each_process_has_its_share_of_what_one_would_draw() -> None:
    whole = draw(FAST_64, 3, 24, 1.0, CPU, ALONE)
    for rank in range(3):
        share = draw(FAST_64, 3, 24, 1.0, CPU, Processes(rank, 3))
        assert torch.equal(share.latents, whole.latents[rank::3])
        assert share.views is not None
        assert whole.views is not None
        assert torch.equal(share.views, whole.views[:, :, rank::3])


def test_a_gpu_gets_all_in_one_copy_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def pin(tensor: Tensor) -> Tensor:
        copied.append(tensor.numel())
        return tensor

    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, **how: to(tensor, "meta"))
    drawn = draw(FAST_64, 1, 8, 1.0, torch.device("cuda"))
    assert copied == [8 * 128 + 4 * 4 * 8]
    assert drawn.latents.device.type == "meta"
