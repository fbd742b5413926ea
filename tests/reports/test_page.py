"""The report of a run: one page that needs nothing else, for whatever there is of a run, and safe to open."""

import itertools
import json
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree

import pytest
from mutations import check_mutations, check_no_file
from tiny import TINY, write_tiny_dataset
from written import AUDIT, DRAWN, EXPERIMENT, FINDING, ROW, UNMEASURED, UTILITY, sweep_page

from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.reports.page import check_report_file, write_report
from cxrgan.runs.folder import RunFolder
from cxrgan.training.doctor.diagnose import Diagnosis, write_diagnosis
from cxrgan.training.loop import start, train

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would make of a page: its tags, its text, its headings."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = self.spaced = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.spaced += " " if tag in {"th", "td", "dt", "dd", "span"} else ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
            self.spaced += data

    @property
    def words(self) -> str:
        """The text with single spaces, one between two cells too."""
        return " ".join(self.spaced.split())

    @property
    def ids(self) -> set[str | None]:
        found = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(set(found)) == len(found)
        return set(found)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps with grids at 0, 3 and 6; read only."""
    path = tmp_path_factory.mktemp("trained")
    data = write_tiny_dataset(path / "data")
    dataset = load_dataset(data)
    folder = start(replace(TINY, steps=6, sample_every=3), dataset, path / "run", recipe="dcgan", data=str(data))
    train(folder, folder.read_info().config, dataset)
    write_diagnosis(folder.diagnosis_file, Diagnosis(6, (), suffices=True))
    return folder.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return copytree(trained, tmp_path / "run")


def report(target: Path, *, without_real: bool = False) -> Page:
    write_report(target, target / "report.html", without_real=without_real)
    return Page(target / "report.html")


def test_the_page_is_whole_and_tells_the_run(run: Path) -> None:
    page = report(run)
    assert page.open == []
    assert "Recipe dcgan: 32 pixels a side; 40 training images; 6 steps in" in page.text
    assert "no clinical use" in page.text
    assert "Healthy at step 6" in page.text
    assert "Not measured yet: cxrgan evaluate RUN --data DATASET" in page.text
    assert [image["alt"] for image in page.all("img")] == [
        "Generated chest X-rays after step 6",
        *(f"The same generated images at step {step}" for step in (0, 3, 6)),
        "Real chest X-rays",
        "Generated chest X-rays after step 6",
    ]


def test_the_page_does_not_call_a_run_healthy_that_is_too_short_to_tell(run: Path) -> None:
    write_diagnosis(RunFolder(run).diagnosis_file, Diagnosis(6, (), suffices=False))
    text = report(run).text
    assert "Too early to say at step 6" in text
    assert "Healthy at" not in text


def test_no_curve_of_the_page_crosses_lines_that_the_log_lacks(run: Path) -> None:
    rows = [{"step": step, "seconds": 1.0, "loss_g": 2.0} for step in (*range(1, 60), *range(300, 360))]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path,) = (path["d"] for path in report(run).all("path") if path["class"] == "generated")
    assert path is not None
    assert path.count("M") == 2


def test_the_page_needs_nothing_from_elsewhere(run: Path) -> None:
    page = report(run)
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in {"src", "href"}]
    assert links
    assert all(str(link).startswith(("data:image/png;base64,", "#")) for link in links)
    assert "url(" not in (run / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in str([meta.get("content") for meta in page.all("meta")])
    assert not page.all("script") + page.all("link")


def test_the_page_is_accessible(run: Path) -> None:
    (run / "evaluation.json").write_text(json.dumps({"target": "run", "data": "tiny", "rows": [ROW]}))
    page = report(run)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.all("html") == [{"lang": "en"}]
    assert all(header.get("scope") in {"row", "col"} for header in page.all("th"))
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))


def test_names_from_files_are_shown_as_text(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config |= {"recipe": EVIL, "data": f"/nowhere/{EVIL}", "data_sha256": EVIL, "classes": {"<b>class": 40}}
    config |= {"cxrgan": EVIL, "torch": EVIL}
    config["config"]["conditional"], config["config"]["model"]["num_classes"] = True, 1
    (run / "config.json").write_text(json.dumps(config))
    row = ROW | dict.fromkeys(("metric", "features", "tap", "resize", "split", "label"), EVIL)
    rows = [row, {"metric": EVIL, "value": None, "note": EVIL, "features": EVIL}]
    (run / "evaluation.json").write_text(json.dumps({"target": EVIL, "data": EVIL, "rows": rows}))
    finding = {"name": EVIL, "since": 3, "evidence": EVIL, "advice": EVIL}
    (run / "diagnosis.json").write_text(json.dumps({"step": 6, "verdict": EVIL, "findings": [finding]}))
    measured = {"step": 6, "images_seen": 48, "seconds": 1.0, "frechet_distance": 9.0, "frechet_floor": 1.0}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(measured | {"features": EVIL, "n_real": 40, "n_fake": 10}) + "\n")
    (tmp_path / "experiments.json").write_text(json.dumps(sweep_page([{EVIL: EVIL, "run": "run"}], EVIL)))
    for page in (report(run.rename(run.with_name("<b>run"))), report(tmp_path)):
        assert page.open == []
        assert not page.all("script")
        assert page.text.count(EVIL) > 12
        assert "<b>run" in page.text
        assert "40 <b>class" in page.text


def test_real_images_stay_out_on_request(run: Path) -> None:
    pictures = len(report(run).all("img"))
    page = report(run, without_real=True)
    assert len(page.all("img")) == pictures - 2
    assert "Real beside generated" not in page.text
    assert "Real chest X-rays" not in (run / "report.html").read_text(encoding="utf-8")


def test_every_metric_stands_beside_its_floor_and_what_could_not_be_measured_says_why(run: Path) -> None:
    unknown = {"metric": "all", "value": None, "note": "no network", "features": "inception"}
    rows = [ROW, ROW | {"label": "NORMAL", "value": 8.0}, unknown]
    (run / "evaluation.json").write_text(json.dumps({"target": "run, step 6", "data": "tiny", "rows": rows}))
    page = report(run)
    assert "frechet distance ↓features7.252.502.90" in page.text
    assert "NORMAL, by cxr-domain-v1: 40 generated against 40 real (train)" in page.text
    assert "inception, all: no network" in page.text


PRECISION = ROW | {"metric": "precision", "value": 0.68, "floor": 0.86, "ratio": 0.79}
RECALL = ROW | {"metric": "recall", "value": 0.0193, "floor": 0.86, "ratio": 0.0224}


def test_the_page_shows_an_audit_and_no_image_or_name_of_it(run: Path) -> None:
    assert "Not audited for copies of training images yet: cxrgan audit RUN --data DATASET" in report(run).text
    (run / "audit.json").write_text(json.dumps(AUDIT))
    (run / "audit-pairs.png").write_bytes(b"patients")
    before = len(report(run, without_real=True).all("img"))
    page = report(run)
    assert (
        "Copies found: 3 of 200 images, compared with 900 training images, 1.5 % (95 %: 0.5 % to 4.3 %)" in page.words
    )
    assert "run, step 3. The thresholds are set by 100 held-out images of tiny (test)" in page.words
    assert "blended 45 of 50 79 % to 96 % 2" in page.words
    assert "generated (200) 7.50 2.5 % (1.1 % to 5.7 %) 75 % 56 % ± 1.2 %" in page.words
    assert "secret-person" not in (run / "report.html").read_text()
    assert len(page.all("img")) == before + 2  # training images beside the samples, as without an audit


def test_the_page_calls_a_run_without_copies_clear_of_those_that_are_found(run: Path) -> None:
    (run / "audit.json").write_text(json.dumps(AUDIT | {"copies": 0, "exact": 0, "copies_interval": [0, 0.0188]}))
    assert "No copies found in 200 images, compared with 900 training images; at most 1.9 %" in report(run).words


def test_of_what_use_the_images_are_stands_on_the_page_with_its_intervals(run: Path) -> None:
    assert "utility" not in report(run).ids
    (run / "utility.json").write_text(json.dumps(UTILITY | {"target": EVIL}))
    page = report(run)
    assert "utility" in page.ids
    assert not page.all("script")
    assert EVIL in page.text
    assert (
        "In place of the real images: 0.950 [0.940, 0.960] of their AUC; too little to stand in for them" in page.text
    )
    assert "synthetic against real +0.950 [+0.940, +0.960] 0.950 [0.940, 0.960]" in page.words


def test_the_verdict_says_how_real_and_how_varied_the_images_are_beside_real_ones(run: Path) -> None:
    content = {"target": "run, step 6", "data": "tiny", "rows": [ROW, PRECISION, RECALL]}
    (run / "evaluation.json").write_text(json.dumps(content))
    text = report(run).words
    assert "Looks real 79 % 68 % of the generated images lie among the real ones; of other real images, 86 % do" in text
    assert (
        "Variety 2.2 % 1.9 % of the real images lie among the generated ones; among other real images, 86 % do." in text
    )
    assert "Fréchet distance 7.25 2.90 times the floor, 2.50: the distance between" in text
    assert "run, step 6: measured with cxr-domain-v1 on 40 generated and 40 real images (train)." in text


def test_what_was_measured_while_it_trained_makes_the_verdict_where_nothing_else_does(run: Path) -> None:
    assert "How real and how varied the images are is not measured yet: cxrgan evaluate RUN" in report(run).words
    newest: dict[str, object] = {
        "step": 6,
        "frechet_distance": 9.0,
        "frechet_floor": 2.0,
        "precision": 0.4,
        "precision_floor": 0.8,
    }
    newest |= {"seconds": 1.0, "recall": 0.5, "features": "cxr-domain-v1", "n_real": 40, "n_fake": 10}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(newest) + "\n")
    text = report(run).words
    assert (
        "Looks real 50 % 40 % of the generated images lie among the real ones; of other real images, 80 % do." in text
    )
    assert "Variety 50 % 50 % of the real images lie among the generated ones." in text  # an old log without its floor
    assert "Fréchet distance 9.00 4.50 times the floor, 2.00" in text
    assert "Measured after step 6, while it trained, with cxr-domain-v1 on 10 generated and 40 real images." in text


def test_the_page_says_when_and_by_which_command_and_names_no_private_folder(run: Path) -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()
    os.utime(run / "metrics.jsonl", (noon, noon))
    text = report(run).words
    assert "Trained until 5 March 2026." in text
    assert "cxrgan train --data DATASET --recipe dcgan --image-size 32" in text
    assert "--run runs/run-again" in text
    assert str(RunFolder(run).read_info().data) not in (run / "report.html").read_text(encoding="utf-8")


def test_a_measurement_against_a_plain_folder_has_no_split(run: Path) -> None:
    (run / "evaluation.json").write_text(
        json.dumps({"target": "run, step 6", "data": "xrays", "rows": [ROW | {"split": None}]})
    )
    assert "generated against 40 real, resized" in report(run).text


def test_a_picture_of_another_name_among_the_samples_is_no_grid(run: Path) -> None:
    pictures = report(run).all("img")
    (run / "samples" / "step-000006-copy.png").write_bytes((run / "samples" / "step-000006.png").read_bytes())
    assert report(run).all("img") == pictures


def test_settings_that_are_not_the_recipes_are_marked(run: Path) -> None:
    text = report(run).text
    assert "batch_size8 recipe: 64" in text
    assert "lr0.0002\nfinal_lrnot set\nbeta1" in text
    assert "device" in text
    assert "cpu recipe" not in text  # what `auto` became


def test_a_relativistic_run_shows_its_margin_and_no_probability(run: Path) -> None:
    text = report(run).text
    assert ("Probability of being real" in text, "Margin" in text) == (True, False)
    config = json.loads((run / "config.json").read_text())
    config["config"]["loss"] = "relativistic"
    (run / "config.json").write_text(json.dumps(config))
    text = report(run).text
    assert ("Probability of being real" in text, "Margin" in text) == (False, True)


def test_a_run_that_only_began_has_a_page(run: Path) -> None:
    bare = run.with_name("bare")
    RunFolder(bare).create(RunFolder(run).read_info())
    text = report(bare).text
    assert "0 of 6 steps so far" in text
    assert "There are no samples yet" in text
    assert "Nothing is logged yet" in text


def test_a_folder_of_runs_has_its_table_and_each_run(run: Path, tmp_path: Path) -> None:
    copytree(run, tmp_path / "exp2")
    assert "2 runs: exp2, run" in report(tmp_path).text
    rows: list[dict[str, object]] = [
        {"name": "exp2", "fid": 12.3456, "note": None},
        {"name": "lost", "fid": None, "note": "why"},
    ]
    (tmp_path / "experiments.json").write_text(json.dumps(sweep_page(rows, "of eight")))
    page = report(tmp_path)
    assert "namefidnote" in page.text
    assert page.text.count("of eight") == 4  # what it is about, the title of its table, here and above, and the note
    assert "12.3" in page.text
    links = {str(link["href"]).removeprefix("#") for link in page.all("a")}
    assert links >= {"run-0", "run-1", "run-1-metrics", "results", "top"}
    assert links <= page.ids


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.jsonl", "{\n"),
        ("metrics.jsonl", "7\n"),
        ("metrics.jsonl", '{"loss_d": 1}\n'),
        ("diagnosis.json", "[]"),
        ("diagnosis.json", '{"findings": [{"name": 1}]}'),
        ("evaluation.json", '{"rows": [{}]}'),
        ("audit.json", '{"copies": 0}'),
        ("config.json", "{}"),
        ("samples/step-000006.png", "no picture"),
        ("samples/real-and-fake-end.png", ""),
    ],
)
def test_a_damaged_file_is_named_in_one_line(file: str, content: str, run: Path) -> None:
    (run / file).write_text(content)
    with pytest.raises(UserError, match=Path(file).name) as error:
        report(run)
    assert "\n" not in str(error.value)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("seed", [EVIL, 1.5, [], 10**30])
def test_a_seed_that_is_no_number_reaches_no_page(seed: object, run: Path) -> None:
    content = {"target": "run", "data": "tiny", "rows": [ROW | {"seed": seed}]}
    (run / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"evaluation\.json, rows\[0\]: seed is .* but must be a whole number"):
        report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation.json", {"target": "run", "data": "tiny", "n_real": 40, "n_fake": 40, "rows": [ROW]}),
        ("evaluation.json", {"target": "run", "data": "tiny", "rows": [DRAWN, UNMEASURED]}),
        ("evaluation.json", {"target": "run", "data": "tiny", "rows": [UNMEASURED]}),
        ("audit.json", AUDIT),
        ("utility.json", UTILITY),
        ("diagnosis.json", {"step": 6, "verdict": "noise", "findings": [FINDING]}),
        ("experiments.json", sweep_page([{"name": "exp2", "fid": 12.3, "note": None}], "of eight")),
        ("experiments.json", sweep_page([{"name": "exp2"}], "of eight") | {"experiments": [EXPERIMENT]}),
        ("config.json", None),
    ],
)
def test_no_file_of_a_run_is_too_hostile_for_its_report(
    name: str, content: object, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path if name == "experiments.json" else run
    monkeypatch.setattr("cxrgan.reports.run.find_grids", lambda folder: {})  # pictures take the time
    if content:
        (target / name).write_text(json.dumps(content))
    if name == "experiments.json":
        run.rename(tmp_path.parent / f"elsewhere-{tmp_path.name}")

    def read() -> None:
        page = report(target)
        assert page.open == []
        assert not page.all("script")

    assert check_mutations(target / name, read)
    check_no_file(target / name, read)


def test_the_command_writes_it_where_it_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").exists()
    other = run.with_name("other.html")
    assert main(["report", str(run), "--without-real", "--out", str(other)]) == 0
    assert f"report in {other}" in capsys.readouterr().out
    assert len(Page(other).all("img")) == 4
    assert main(["report", str(run / "samples")]) == 2
    assert "samples holds no run and no folders of runs" in capsys.readouterr().err


def write_results(path: Path, **distances: float) -> None:
    """experiments.json of finished experiments with these distances and learning rates of a hundredth of them."""
    experiments = []
    for name, distance in distances.items():
        evaluation = {"target": f"{name}, step 6", "data": "tiny", "rows": [ROW | {"value": distance}]}
        config = asdict(TINY) | {"lr": distance / 100}
        experiments.append(EXPERIMENT | {"name": name, "config": config, "evaluation": evaluation})
    page = sweep_page([{"experiment": name} for name in distances], "of eight")
    (path / "experiments.json").write_text(json.dumps(page | {"experiments": experiments}))


def test_the_page_of_experiments_marks_the_best_and_puts_results_before_settings(run: Path, tmp_path: Path) -> None:
    write_results(tmp_path, far=30.0, near=7.5, run=12.25)
    page = report(tmp_path)
    assert page.words.count(" best ") == 1
    assert "near best finished" in page.words
    assert "near has the lowest Fréchet distance of the 3 finished runs: 7.50." in page.words
    assert "far finished 30.0 (2.5)* 0.733" in page.words  # the published FID beside the measured distance
    assert "near best finished 7.5 (2.5)* 0.733" in page.words
    assert page.words.index("Results ↑") < page.words.index("Side by side ↑") < page.words.index("Settings ↑")
    (thumbnail, *_) = page.all("img")
    assert thumbnail["alt"] == "Generated by run after step 6"
    labels = {drawing["aria-label"] for drawing in page.all("svg")}
    assert any("Fréchet distance of all runs" in str(label) and "far 9.00, near 9.00" in str(label) for label in labels)


def test_the_best_stands_beside_each_other_run_with_what_differs_in_their_settings(tmp_path: Path) -> None:
    write_results(tmp_path, far=30.0, near=7.5, middle=12.25)
    page = report(tmp_path)
    runner_up, other = (page.words.index(text) for text in ("near and middle: 1 setting", "near and far: 1 setting"))
    assert runner_up < other
    assert "setting that differs near middle lr 0.075 0.1225" in page.words
    assert [bool("open" in details) for details in page.all("details")] == [True, False, False]  # the last: the notes


def test_what_does_not_compare_has_no_best(tmp_path: Path) -> None:
    write_results(tmp_path, one=7.5, other=12.25)
    sweep = json.loads((tmp_path / "experiments.json").read_text())
    sweep["experiments"][0]["evaluation"]["rows"][0]["n_fake"] = 10
    (tmp_path / "experiments.json").write_text(json.dumps(sweep))
    text = report(tmp_path).words
    assert "No run is marked as the best: they were measured with different networks or numbers of images." in text
    assert " best finished" not in text


def test_a_folder_of_runs_without_a_table_is_compared_by_its_files(run: Path, tmp_path: Path) -> None:
    other = copytree(run, tmp_path / "other")
    for folder, distance in ((run, 7.25), (other, 3.5)):
        content = {"target": "run, step 6", "data": "tiny", "rows": [ROW | {"value": distance}]}
        (folder / "evaluation.json").write_text(json.dumps(content))
    page = report(tmp_path)
    assert "other has the lowest Fréchet distance of the 2 finished runs: 3.50." in page.words
    assert any("Generator losses of all runs" in str(drawing["aria-label"]) for drawing in page.all("svg"))


def test_the_experiments_that_are_shipped_have_a_page(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "docs" / "experiments" / "experiments.json"
    (tmp_path / "experiments.json").write_bytes(shipped.read_bytes())
    page = report(tmp_path)
    assert page.open == []
    assert "fast-64 best finished 19.0 (1.6)" in page.words
    assert "By iteration" in page.words


def test_a_report_of_before_is_known_again_and_may_be_replaced(run: Path) -> None:
    check_report_file(Path(__file__).parents[2] / "docs" / "experiments" / "report.html")
    report(run)
    check_report_file(run / "report.html")
