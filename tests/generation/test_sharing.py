"""A run is packed, pushed and loaded again; a stand-in for huggingface_hub keeps the repositories in a folder."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import TINY, write_tiny_dataset
from written import AUDIT

import cxrgan
from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.generation.card import NOT_AUDITED, model_card
from cxrgan.generation.pack import pack
from cxrgan.generation.provenance import parse_provenance
from cxrgan.generation.shipped import read_card
from cxrgan.generation.verify import verify
from cxrgan.images import grid
from cxrgan.reports.audit import audit_verdict
from cxrgan.training.loop import start, train

CLASSES = ("NORMAL", "PNEUMONIA")
FILES = ["README.md", "card.json", "grid.png", "model.safetensors"]
PLACE = "/clinic/patients-of-2026"


class StandIn:
    """The few names of huggingface_hub that are used. A push is a revision, a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.private: dict[str, bool] = {}
        self.offline = False

    def HfApi(self, **named: str) -> "StandIn":
        return self

    def is_offline_mode(self) -> bool:
        return self.offline

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
        self.private.setdefault(repo, private)
        return f"hub/{repo}"

    def model_info(self, repo: str, *, revision: str | None = None, files_metadata: bool = False) -> SimpleNamespace:
        assert not self.offline, "it would ask"
        folder = self.revision(repo, revision)
        files = [SimpleNamespace(rfilename=file.name, size=file.stat().st_size) for file in folder.glob("*")]
        return SimpleNamespace(private=self.private[repo], siblings=files)

    def revision(self, repo: str, revision: str | None) -> Path:
        """The folder of a revision, of the newest if none is named."""
        if repo not in self.private:
            raise OSError(f"404: no repository\n{repo}")
        pushed = sorted((self.place / repo).glob("*"))
        return self.place / repo / (revision or (pushed[-1].name if pushed else "empty"))

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        number = len(list((self.place / repo_id).glob("*"))) + 1
        shutil.copytree(folder_path, self.place / repo_id / f"c{number}")

    def snapshot_download(self, repo: str, *, revision: str | None, allow_patterns: Sequence[str]) -> str:
        assert sorted(allow_patterns) == ["card.json", "model.safetensors"]
        return str(self.revision(repo, revision))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by class of three steps, which was measured."""
    place = tmp_path_factory.mktemp("runs")
    dataset = load_dataset(write_tiny_dataset(place / "data", classes=CLASSES))
    folder = start(replace(TINY, steps=3, conditional=True), dataset, place / "first", recipe="tiny", data=PLACE)
    train(folder, folder.read_info().config, dataset)
    rows = [
        {"metric": "recall", "label": None, "split": "train", "features": "net", "value": 0.25, "std": None}
        | {"floor": 0.84, "floor_std": 0.01, "ratio": 0.3, "n_real": 40, "n_fake": 40, "seed": 0, "tap": "a"}
        | {"resize": "none", "n_floor": [20, 20], "floor_draws": 16, "floor_corrected": False},
        {"metric": "all", "label": None, "split": None, "features": "net-2", "value": None, "note": f"not in {PLACE}"},
    ]
    measured = {"target": "first, step 3", "data": PLACE, "n_real": 40, "n_fake": 40, "rows": rows}
    (folder.path / "evaluation.json").write_text(json.dumps(measured))
    return folder.path


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> Path:
    pack(run, tmp_path / "packed", name="lab/first")
    return tmp_path / "packed"


def test_a_packed_run_makes_the_same_images(run: Path, tmp_path: Path) -> None:
    assert [file.name for file in pack(run, tmp_path / "exact", name="lab/first", half=False)] == FILES
    pack(run, tmp_path / "half", name="lab/first")
    original, exact, half = (cxrgan.load_generator(place) for place in (run, tmp_path / "exact", tmp_path / "half"))
    images = original.sample(8, seed=3, label="PNEUMONIA")
    assert np.array_equal(exact.sample(8, seed=3, label="PNEUMONIA"), images)
    assert np.abs(half.sample(8, seed=3, label="PNEUMONIA").images.astype(int) - images.images).max() <= 1
    assert half.sample(20, seed=0).labels == original.sample(20, seed=0).labels
    assert (half.step, dict(half.classes)) == (3, {"NORMAL": 20, "PNEUMONIA": 20})
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "exact")]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_folder_says_what_it_is_and_not_where_it_is_from(packed: Path) -> None:
    card, readme = json.loads((packed / "card.json").read_text()), (packed / "README.md").read_text()
    assert card["not_for"].startswith("Research and teaching only. Not for diagnosis")
    assert card["trained"]["config"]["model"] == card["model"]
    assert [(row["metric"], row["value"], row["floor"]) for row in card["metrics"]] == [("recall", 0.25, 0.84)]
    assert readme.startswith('---\nlibrary_name: "cxrgan"\n')
    assert 'license: "other"\nlicense_name: ' in readme
    assert "**Research and teaching only." in readme
    assert "on 40 images (20 NORMAL, 20 PNEUMONIA)" in readme
    assert re.search(r"\| recall ↑ \| a \| 0.250* \| 0.840* ± 0.010* \| 0.30* \|", readme)
    assert "Memorisation was not audited" in readme
    assert 'load_generator("hf://lab/first")' in readme
    for file in packed.iterdir():
        assert not [place for place in (PLACE, str(packed.parent)) if place.encode() in file.read_bytes()]


def test_the_card_is_metadata_that_hugging_face_reads(packed: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra hf is not installed")
    read = hub.ModelCard((packed / "README.md").read_text(encoding="utf-8")).data
    assert (read.library_name, read.pipeline_tag) == ("cxrgan", "unconditional-image-generation")
    assert (read.license, read.license_name, read.datasets) == ("other", "that-of-the-training-images", None)
    assert {"synthetic", "research-only"} <= set(read.tags)
    assert (read.model_name, read.metrics) == ("first", ["recall"])
    (result,) = read.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("recall", 0.25, "its training images")
    assert result.metric_args == {
        "features": "net", "tap": "a", "n_real": 40, "n_fake": 40, "seed": 0,
        "floor": 0.84, "floor_std": 0.01, "n_floor": [20, 20], "floor_draws": 16,
    }  # fmt: skip


def test_the_card_of_a_shipped_generator_has_its_data_licence_metrics_and_copies() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra hf is not installed")
    card = read_card("cxr-64")
    text = model_card(card)
    read = hub.ModelCard(text).data
    assert (read.license, read.datasets) == ("cc-by-4.0", ["hf-vision/chest-xray-pneumonia"])
    assert len(read.eval_results) == len(card["metrics"])
    for result, row in zip(read.eval_results, card["metrics"], strict=True):
        assert result.metric_value == pytest.approx(row["value"], abs=1e-6)
        assert result.metric_args["floor"] == pytest.approx(row["floor"], abs=1e-6)
        assert result.dataset_name.endswith(row["label"] or "chest X-rays")
    assert card["licence"] in text
    assert audit_verdict(card["audit"]) in text
    assert NOT_AUDITED not in text


def test_small_numbers_and_odd_names_survive_the_metadata(packed: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra hf is not installed")
    card = json.loads((packed / "card.json").read_text())
    odd = ["1e-05", "no", "a: b # c", "{'\"", "Ä 東京 😀", "-", "|", "null"]
    card["metrics"] = [card["metrics"][0] | {"value": 1e-5, "label": label} for label in odd]
    read = hub.ModelCard(model_card(card)).data
    assert [result.metric_args["label"] for result in read.eval_results] == odd
    assert {result.metric_value for result in read.eval_results} == {1e-5}


def test_the_picture_of_a_shared_generator_can_be_proven_by_whoever_loads_it(packed: Path) -> None:
    (verdict,) = verify([packed / "grid.png"], packed)
    assert (verdict.outcome, "the same pixels" in verdict.why) == ("proven", True)
    with Image.open(packed / "grid.png") as picture:
        assert parse_provenance(picture.info["cxrgan"], "").origin.generator == "hf://lab/first"


def test_a_run_folder_comes_before_a_card_that_lies_in_it(run: Path, packed: Path) -> None:
    shutil.copytree(run, packed, dirs_exist_ok=True)
    (packed / "card.json").write_text("{}")
    assert cxrgan.load_generator(packed).step == 3


def test_its_picture_is_of_generated_images(packed: Path) -> None:
    picture = Image.open(packed / "grid.png")
    assert np.array_equal(np.asarray(picture), grid(cxrgan.load_generator(packed).sample(64, seed=0).images))
    assert "Not an image of a patient" in picture.info["Description"]


def test_an_evaluation_of_other_weights_is_left_out(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    text = (other / "evaluation.json").read_text().replace("step 3", "step 2")
    (other / "evaluation.json").write_text(text)
    pack(other, tmp_path / "packed", name="lab/first")
    assert json.loads((tmp_path / "packed" / "card.json").read_text())["metrics"] == []
    assert "These weights were not measured" in (tmp_path / "packed" / "README.md").read_text()


@pytest.mark.parametrize("kept", [True, False], ids=["in the run", "in the dataset of an old run"])
def test_a_licence_that_is_known_is_passed_on(run: Path, tmp_path: Path, kept: bool) -> None:
    data, other = (shutil.copytree(run.parent / name, tmp_path / name) for name in ("data", "first"))
    manifest = json.loads((data / "manifest.json").read_text()) | {"license": "CC BY 4.0", "citation": "Kermany et al."}
    (data / "manifest.json").write_text(json.dumps(manifest))
    terms = load_dataset(data).licence
    config = json.loads((other / "config.json").read_text()) | {"licence": terms, "data": PLACE}
    if not kept:
        del config["licence"]
        config["data"] = str(data)
    (other / "config.json").write_text(json.dumps(config))
    pack(other, tmp_path / "packed", name="lab/first")
    card = json.loads((tmp_path / "packed" / "card.json").read_text())
    assert card["licence"] == "Trained on images under CC BY 4.0; keep this attribution: Kermany et al."
    assert cxrgan.load_generator(tmp_path / "packed").licence == card["licence"]


def test_a_run_keeps_the_licence_of_its_images(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text()) | {"license": "CC0", "citation": "Somebody, 2026"}
    (data / "manifest.json").write_text(json.dumps(manifest))
    dataset = load_dataset(data)
    folder = start(replace(TINY, steps=2), dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    train(folder, folder.read_info().config, dataset)
    assert cxrgan.load_generator(tmp_path / "run").origin().licence == (
        "Trained on images under CC0; keep this attribution: Somebody, 2026"
    )


def test_the_card_has_the_audit_of_its_step_and_no_name_of_a_file(run: Path, hub: StandIn, tmp_path: Path) -> None:
    audited = shutil.copytree(run, tmp_path / "audited")
    (audited / "audit.json").write_text(json.dumps(AUDIT))
    pack(audited, tmp_path / "packed", name="lab/first")
    readme, card = ((tmp_path / "packed" / name).read_text() for name in ("README.md", "card.json"))
    assert "Copies found: 3 of 200 images" in readme
    assert "| blended | 45 of 50 | 79\u00a0% to 96\u00a0% | 2 |" in readme
    assert json.loads(card)["audit"] == {name: value for name, value in AUDIT.items() if name != "pairs"}
    assert "secret-person" not in readme + card
    assert main(["push", str(audited), "--repo", "lab/first"]) == 0
    (audited / "audit.json").write_text(json.dumps(AUDIT | {"target": "run, step 2"}))
    pack(audited, tmp_path / "older", name="lab/first")
    assert "Memorisation was not audited" in (tmp_path / "older" / "README.md").read_text()


def test_push_sends_four_files_to_a_private_repository_and_says_so(
    run: Path, hub: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(run), "--repo", "lab/first"]) == 0
    assert hub.private == {"lab/first": True}
    assert sorted(file.name for file in (hub.place / "lab" / "first" / "c1").iterdir()) == FILES
    said = capsys.readouterr().out
    assert "to the private repository lab/first" in said
    assert all(f"  {name}, " in said for name in FILES)
    assert "Memorisation was not audited" in said


def test_what_was_pushed_is_loaded_again_and_a_revision_is_pinned(run: Path, hub: StandIn, tmp_path: Path) -> None:
    assert main(["push", str(run), "--repo", "lab/first", "--weights", "float32", "--public"]) == 0
    images = cxrgan.load_generator(run).sample(2, seed=0)
    assert np.array_equal(cxrgan.load_generator("hf://lab/first").sample(2, seed=0), images)
    (hub.place / "lab" / "first" / "c2").mkdir()
    with pytest.raises(UserError, match=r"lab/first holds no generator of cxrgan: it lacks card\.json"):
        cxrgan.load_generator("hf://lab/first")
    assert np.array_equal(cxrgan.load_generator("hf://lab/first@c1").sample(2, seed=0), images)
    rows = tmp_path / "rows.json"
    arguments = ["--data", str(run.parent / "data"), "--rulers", "domain", "--num", "20", "--json", str(rows)]
    assert main(["evaluate", "hf://lab/first@c1", *arguments]) == 0
    assert json.loads(rows.read_text())["n_fake"] == 20
    assert main(["generate", "hf://lab/first@c1", "--num", "2", "--out", str(tmp_path / "images")]) == 0
    hub.offline = True
    assert np.array_equal(cxrgan.load_generator("hf://lab/first@c1").sample(2, seed=0), images)


def test_nothing_goes_to_a_public_repository_unasked(
    run: Path, hub: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.private["lab/first"] = False
    assert main(["push", str(run), "--repo", "lab/first"]) == 2
    assert "lab/first is public; push to it with --public" in capsys.readouterr().err
    assert not hub.place.exists()
    assert main(["push", str(run), "--repo", "lab/first", "--public"]) == 0


def test_push_can_be_looked_at_before_it_is_done(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    out = tmp_path / "packed"
    assert main(["push", str(run), "--repo", "lab/first", "--out", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == FILES
    assert main(["push", str(run), "--repo", "lab/first", "--out", str(out)]) == 2  # it lies there already


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["push", "{run}", "--repo", "first"], "--repo is 'first', but must be OWNER/NAME"),
        (["push", "cxr-64", "--repo", "lab/first"], "cxr-64 is not a run folder"),
        (["generate", "hf://first", "--out", "x"], "names no repository; it is hf://OWNER/NAME"),
        (
            ["generate", "hf://lab/nobody", "--out", "x"],
            "lab/nobody: 404: no repository lab/nobody; see that the name",
        ),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    run: Path,
    hub: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([argument.format(run=run) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_library_that_is_missing_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=re.escape("pip install '.[hf]'")):
        cxrgan.load_generator("hf://lab/first")


def test_a_file_that_is_too_large_is_not_fetched(run: Path, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["push", str(run), "--repo", "lab/first"]) == 0
    monkeypatch.setitem(cxrgan.generation.hub.MOST_BYTES, "model.safetensors", 1000)
    with pytest.raises(UserError, match=r"model\.safetensors of lab/first has [0-9,]+ bytes, and no more than 1,000"):
        cxrgan.load_generator("hf://lab/first")


def change_card(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        card["model"] |= changes.pop("model", {})
        (folder / "card.json").write_text(json.dumps(card | changes))

    return change


def nothing(tensor: torch.Tensor) -> torch.Tensor:
    return torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor


def change_weights(how: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    return lambda folder: save_file(how(load_file(folder / "model.safetensors")), folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "there is no .*model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04K\x01."), "is damaged or incomplete"),
        (lambda folder: (folder / "card.json").write_text("[" * 10**5), "nested too deeply"),
        (lambda folder: (folder / "card.json").write_text("{}"), "model is missing"),
        (change_card(model={"ngf": 2**40}), "more than 1,073,741,824 weights"),
        (change_card(model={"ngf": 512}), "damaged or incomplete: .* must be float32 of shape"),
        (change_card(model={"networks": "os.system"}), "networks is 'os.system', but must be one of"),
        (change_card(classes={"../../etc": 1, "B": 1}), "is no name without /"),
        (change_card(classes={"A": 1}), "classes is a table of 1, but must be counts of at least 1 of num_classes, 2"),
        (change_card(classes={"A": 0, "B": 0}), "must be counts of at least 1"),
        (change_card(step="3"), "step is '3', but must be a whole number"),
        (change_weights(lambda named: {n: t for n, t in named.items() if t.ndim == 4}), "is missing"),
        (change_weights(lambda named: {n: nothing(t) for n, t in named.items()}), "weights are no finite numbers"),
        (change_weights(lambda named: {n: t.double() for n, t in named.items()}), "F64"),
    ],
)
def test_a_folder_from_elsewhere_is_checked_at_the_door(
    change: Callable[[Path], None], message: str, packed: Path
) -> None:
    change(packed)
    with pytest.raises(UserError, match=message) as refusal:
        cxrgan.load_generator(packed)
    assert "\n" not in str(refusal.value)
