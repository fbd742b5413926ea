"""The graph of a generator makes PyTorch's images, says what it is, and is refused where it is another."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY

from cxrgan.cli.main import main
from cxrgan.errors import RunError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import seed_latents
from cxrgan.generation.provenance import parse_origin
from cxrgan.generation.writers.onnx import Graph, ImageOf, to_onnx
from cxrgan.images import SYNTHETIC, to_uint8
from cxrgan.models import stable
from cxrgan.models.build import build_generator
from cxrgan.models.config import ModelConfig

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

BY_CLASS = replace(TINY.model, networks="stable", num_classes=3, latent_channels=20)
MODELS = {
    "dcgan": replace(TINY.model, channels=3),
    "dcgan by class": replace(TINY.model, num_classes=2, latent_size=5, image_size=64),
    "stable": replace(TINY.model, networks="stable", latent_size=5, image_size=64),
    "stable by class": BY_CLASS,
}


def made(model: ModelConfig, name: str = "tiny") -> TrainedGenerator:
    """A generator with weights and norms that are no first ones."""
    network = build_generator(model).eval().requires_grad_(False)
    draws = torch.Generator().manual_seed(1)
    scale = 0.3 if model.networks == "dcgan" else 0.1  # for grey images, not black and white ones
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(0, scale, generator=draws)
        if key.endswith("running_var"):
            value.abs_().add_(0.5)
    classes = {f"class {i}": 10 * (i + 1) for i in range(model.num_classes)}
    return TrainedGenerator(name, model, network, 7, classes, "Trained on images under CC0")


def exported(generator: TrainedGenerator) -> Graph:
    return to_onnx(generator.network, generator.config, tuple(generator.classes), generator.origin())


@pytest.mark.parametrize("kind", MODELS)
def test_the_graph_makes_pytorchs_images_in_batches_of_any_size(kind: str) -> None:
    generator = made(MODELS[kind])
    graph, num_classes = exported(generator), generator.config.num_classes
    names = ("latents", *["label"] * bool(num_classes), *["truncation"] * (generator.config.networks == "stable"))
    assert graph.inputs == names
    assert graph.difference < 1e-4
    session = runtime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
    for num, psi in ((1, 1.0), (3, 0.0), (20, 1.0), (7, 1.7)):
        labels = torch.arange(num).flip(0) % max(1, num_classes)
        latents = seed_latents(generator.config, range(9, 9 + num), labels)
        given = {
            "latents": latents[:, : generator.config.latent_channels].numpy(),
            "label": labels.numpy(),
            "truncation": np.array(psi, np.float32),
        }
        (images,) = session.run(None, {name: given[name] for name in graph.inputs})
        network, truncates = generator.network, isinstance(generator.network, stable.Generator)
        own = stable.Truncated(network, generator.config, psi) if truncates else network  # type: ignore[arg-type]
        wanted = own(latents).mean(1)
        assert wanted.std() > 0.01
        np.testing.assert_allclose(images, wanted.numpy(), atol=1e-4)


def test_its_pixels_are_those_of_generate() -> None:
    generator = load_generator("cxr-64")
    session = runtime.InferenceSession(exported(generator).content, providers=["CPUExecutionProvider"])
    samples = generator.sample(5, seed=40, label="PNEUMONIA", truncation=0.7)
    latents = [torch.randn(128, 1, 1, generator=torch.Generator().manual_seed(seed)) for seed in samples.seeds]
    psi = np.array(0.7, np.float32)
    inputs = {"latents": torch.stack(latents).numpy(), "label": np.ones(5, np.int64), "truncation": psi}
    (images,) = session.run(None, inputs)
    assert np.abs(to_uint8(torch.from_numpy(images)).numpy().astype(int) - samples.images).max() <= 1


def test_the_file_says_what_it_is_and_holds_its_weights() -> None:
    generator = made(BY_CLASS, name='</script><b>"run"')
    model = onnx.load_from_string(exported(generator).content)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert parse_origin(said["cxrgan"], "the model") == generator.origin()
    assert json.loads(said["classes"]) == ["class 0", "class 1", "class 2"]
    assert said["licence"] == "Trained on images under CC0"
    assert (model.doc_string, model.producer_name) == (SYNTHETIC, "cxrgan")
    assert not [node.op_type for node in model.graph.node if "Random" in node.op_type]
    assert not [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    assert [value.name for value in model.graph.output] == ["image"]
    assert str(Path(__file__).parents[2]).encode() not in model.SerializeToString()  # nor of stack traces


Forward = Callable[..., torch.Tensor]


def of_another_class(forward: Forward) -> Forward:
    def planted(self: ImageOf, latents: Any, label: Any = None, truncation: Any = None) -> torch.Tensor:
        return forward(self, latents, 2 - label, truncation)

    return planted


def without_truncation(forward: Forward) -> Forward:
    def planted(self: ImageOf, latents: Any, label: Any = None, truncation: Any = None) -> torch.Tensor:
        return forward(self, latents, label, truncation * 0 + 1)

    return planted


def a_little_brighter(forward: Forward) -> Forward:
    def planted(self: ImageOf, latents: Any, label: Any = None, truncation: Any = None) -> torch.Tensor:
        return forward(self, latents, label, truncation) + 0.002

    return planted


def not_a_number(forward: Forward) -> Forward:
    def planted(self: ImageOf, latents: Any, label: Any = None, truncation: Any = None) -> torch.Tensor:
        return forward(self, latents, label, truncation) * float("nan")

    return planted


@pytest.mark.parametrize("fault", [of_another_class, without_truncation, a_little_brighter, not_a_number])
def test_a_graph_that_makes_other_images_is_refused(
    fault: Callable[[Forward], Forward], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageOf, "forward", fault(ImageOf.forward))
    with pytest.raises(RunError, match=r"the graph's images differ from PyTorch's by up to .*so nothing was written"):
        exported(made(BY_CLASS))


def test_the_command_writes_a_run_and_says_the_difference(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "first.onnx"
    assert main(["export", str(tiny_run), "--onnx", str(file)]) == 0
    words = capsys.readouterr()
    assert "the graph's images differ from PyTorch's by at most" in words.out
    assert f"the generator of step 8 in {file}" in words.out
    assert words.err == ""
    assert list(tmp_path.iterdir()) == [file]
    before = file.read_bytes()
    assert main(["export", str(tiny_run), "--onnx", str(file)]) == 2
    assert "name a new file that ends in .onnx; nothing is overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_refused_graph_leaves_no_file(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cxrgan.generation.writers.onnx.TOLERANCE", -1.0)
    assert main(["export", str(tiny_run), "--onnx", str(tmp_path / "a.onnx"), "--browser", str(tmp_path / "page")]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --onnx FILE, --browser DIR or both"),
        (["--onnx", "a.pt"], "name a new file that ends in .onnx"),
        (["--onnx", "a.onnx", "--runtime", "b"], "give --browser DIR with it"),
        (["--browser", "page", "--runtime", "nowhere"], "nowhere is no onnxruntime-web"),
        (["--browser", "."], "exists already; choose another folder for the page"),
    ],
)
def test_what_cannot_be_exported_is_said_at_once(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["export", "cxr-64", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_extra_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", "cxr-64", "--onnx", str(tmp_path / "a.onnx")]) == 2
    assert f"export needs {missing}; in the checkout, run: pip install '.[onnx]'" in capsys.readouterr().err
