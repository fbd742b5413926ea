"""The step of `fast-64 --conditional` against a plain one; and that the comparison sees the faults it is there for.

Both compute in float64 here: in float32 another order of sums may turn one ReLU off, and a few steps later it shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from reference_step import ReferenceStep
from torch import Tensor, nn
from torch.testing import assert_close

from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64
from cxrgan.training import step as ours
from cxrgan.training.draws import step_random

CPU = torch.device("cpu")
CONFIG = replace(
    FAST_64,
    model=replace(FAST_64.model, image_size=32, ngf=8, ndf=8, num_classes=2),
    conditional=True,
    batch_size=24,  # a penalty takes 16 of them
    device="cpu",
    precision="fp32",
)
DETAILED = replace(CONFIG, model=replace(CONFIG.model, detail=8.0))
STEPS = (1, 2, 7, 8, 9, 16, 9999, 10000)  # with and without a penalty, in and after the average's warm-up
FEW_STEPS = (1, 8, 9)
TIGHT = 1e-7  # of a value


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("float64")


def same_as_the_reference(module: ModuleType, numbers: Sequence[int], config: TrainConfig = CONFIG) -> None:
    """AssertionError where the step in `module` and the plain one come to different numbers, gradients or weights."""
    players = module.new_players(config, CPU)
    with torch.no_grad():
        for parameter in players.discriminator.parameters():
            parameter.mul_(4)  # a D of some decision, in which the penalties weigh
    step = module.Step(config, players, CPU, 100)
    reference = ReferenceStep(players.generator, players.discriminator, config.model.detail)
    for number in numbers:
        random = torch.Generator().manual_seed(number)
        real = torch.randint(0, 256, (24, 32, 32), dtype=torch.uint8, generator=random)
        labels = torch.randint(0, 2, (24,), generator=random)
        logged = dict(zip(module.LOGGED, step(number, real, labels).tolist(), strict=True))
        expected = reference(number, real, labels, step_random(config, number))

        for name in ("loss_d", "loss_g", "d_real", "d_fake", "margin", "r1", "r2"):
            value = getattr(expected, name)
            assert logged[name] == pytest.approx(float("nan") if value is None else value, rel=TIGHT, nan_ok=True), name
        assert logged["grad_d"] == pytest.approx(norm(reference.gradients_d), rel=TIGHT)
        assert logged["grad_g"] == pytest.approx(norm(reference.gradients_g), rel=TIGHT)
        same_gradients(players.discriminator, reference.gradients_d)
        same_gradients(players.generator, reference.gradients_g)
        for mine, plain in (
            (players.discriminator, reference.discriminator),
            (players.generator, reference.generator),
            (players.average, reference.average),
        ):
            for name, value in mine.state_dict().items():
                assert_close(value, plain.state_dict()[name], rtol=TIGHT, atol=1e-3 * config.lr)


def same_gradients(network: nn.Module, expected: Sequence[Tensor]) -> None:
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert_close(parameter.grad, gradient, rtol=TIGHT, atol=TIGHT * float(gradient.abs().max()))


def norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())


def with_fault(right: str, wrong: str) -> ModuleType:
    """The module of the step with `wrong` in the place of `right`."""
    source = Path(ours.__file__).read_text(encoding="utf-8")
    assert source.count(right) == 1, "the step was rewritten: plant the fault anew"
    faulty = ModuleType(ours.__name__)
    exec(compile(source.replace(right, wrong), ours.__file__, "exec"), faulty.__dict__)
    return faulty


def test_the_recommended_step_equals_a_plain_one_over_several_steps() -> None:
    same_as_the_reference(ours, STEPS)


def test_a_step_whose_discriminator_sees_detail_equals_a_plain_one() -> None:
    same_as_the_reference(ours, FEW_STEPS, DETAILED)


def test_the_comparison_sees_a_penalty_by_the_image_instead_of_what_is_seen() -> None:
    right, wrong = (
        "gradient_penalty(judge, discriminator.see(images[some]))",
        "gradient_penalty(lambda x: judge(discriminator.see(x)), images[some])",
    )
    with pytest.raises(AssertionError):
        same_as_the_reference(with_fault(right, wrong), FEW_STEPS, DETAILED)


FAULTS = {
    "a penalty counts once": ("now.gradient_penalty / 2 * config.penalty_every", "now.gradient_penalty / 2"),
    "no R1": ("(r1 + r2)", "r2"),
    "no R2": ("(r1 + r2)", "r1"),
    "a penalty on all images": ("slice(config.penalty_images //", "slice(10**6 //"),
    "a penalty in every step": ("and number % config.penalty_every == 0:", "and True:"),
    "the average without its warm-up": ("min(now.ema_halflife, EMA_WARMUP * number * config.batch_size)", "10_000"),
    "the average without statistics": ("average.state_dict(), network", "dict(average.named_parameters()), network"),
    "no augmentation in G's turn": (
        "self.discriminator, self._view(fakes, batch, FAKE_OF_G)",
        "self.discriminator, fakes",
    ),
    "G judged as class 0": ("FAKE_OF_G), batch.labels)", "FAKE_OF_G), 0 * batch.labels)"),
    "labels flipped for G": (
        "with_classes(batch.latents, batch.labels,",
        "with_classes(batch.latents, 1 - batch.labels,",
    ),
    "D judges as class 0": (".gather(1, labels[:, None])", ".gather(1, 0 * labels[:, None])"),
    "G against D's opinion from before": ('if config.loss == "relativistic":', "if False:"),
    "the sides change places": ("loss(real=logits_real, fake=logits_fake", "loss(real=logits_fake, fake=logits_real"),
    "the fakes seen alike in both turns": ("batch, FAKE_OF_G)", "batch, FAKE)"),
    "gradients of D pile up": ("        players.optimizer_d.zero_grad()\n", ""),
    "gradients of G pile up": ("        players.optimizer_g.zero_grad()\n", ""),
    "D does not learn": ("        players.optimizer_d.step()\n", ""),
    "G does not learn": ("        players.optimizer_g.step()\n", ""),
    "beta1 and beta2 change places": ("betas=(config.beta1, now.beta2)", "betas=(now.beta2, config.beta1)"),
}
"""What can be wrong with a step: (what stands in its source, what would stand there)."""


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_sees_a_planted_fault(fault: str) -> None:
    with pytest.raises(AssertionError):
        same_as_the_reference(with_fault(*FAULTS[fault]), FEW_STEPS)


def test_the_comparison_sees_nothing_where_nothing_is_planted() -> None:
    copied = ModuleType(ours.__name__)
    exec(compile(Path(ours.__file__).read_text(encoding="utf-8"), ours.__file__, "exec"), copied.__dict__)
    same_as_the_reference(copied, FEW_STEPS)
