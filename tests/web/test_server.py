"""The pictures and files of the page, at their addresses."""

import io
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient
from tiny import write_tiny_dataset

import cxrgan
from cxrgan.errors import UserError
from cxrgan.generation.explore import Place, picture
from cxrgan.generation.verify import verify
from cxrgan.web.pictures import MOST_BLOCKS, MOST_WAITING, Busy, Darkroom
from cxrgan.web.server import listening, make_app, serve
from cxrgan.web.state import State
from cxrgan.web.studies import Study

IMAGE = {"of": "first", "seed": "3"}


@pytest.fixture
def state(root: Path, tmp_path: Path) -> State:
    write_tiny_dataset(tmp_path / "prepared")
    return State.opened(root, (tmp_path / "prepared",))


@pytest.fixture
def page(state: State) -> TestClient:
    return TestClient(make_app(state, host="127.0.0.1", token=None), base_url="http://127.0.0.1:7860")


def grey(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def test_an_image_is_that_of_generate_whatever_stood_beside_it(page: TestClient) -> None:
    wanted = cxrgan.load_generator("cxr-64").sample(1, 37, "NORMAL", truncation=0.8).images[0]
    asked: dict[str, str | int] = {"of": "cxr-64", "seed": 37, "label": "NORMAL", "truncation": "0.8"}
    np.testing.assert_array_equal(grey(page.get("/images/one.png", params=asked).content), wanted)


def test_the_last_seed_has_an_image_and_the_next_is_refused(page: TestClient) -> None:
    assert page.get("/images/one.png", params=IMAGE | {"seed": str(2**32 - 1)}).status_code == 200
    assert page.get("/images/one.png", params=IMAGE | {"seed": str(2**32)}).status_code == 404


@pytest.mark.parametrize("kind", ["png", "dcm"])
def test_a_downloaded_image_is_proven_by_verify(page: TestClient, root: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"image.{kind}"
    file.write_bytes(page.get(f"/images/one.{kind}", params=IMAGE).content)
    assert [each.outcome for each in verify([file], root / "first")] == ["proven"]


def test_a_sheet_is_proven_by_verify(page: TestClient, root: Path, tmp_path: Path) -> None:
    answer = page.get("/images/sheet.png", params=IMAGE | {"num": "9"})
    (tmp_path / "sheet.png").write_bytes(answer.content)
    assert [each.outcome for each in verify([tmp_path / "sheet.png"], root / "first")] == ["proven"]
    assert 'filename="first-seeds-3-to-11.png"' in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"of": "../first"},
        {"of": ""},
        {"seed": "-1"},
        {"seed": "1e3"},
        {"seed": "\u0664"},
        {"seed": "9" * 5000},
        {"truncation": "nan"},
        {"truncation": "3"},
        {"truncation": "a"},
        {"label": "NORMAL"},
        {"num": "0"},
        {"num": "100000"},
    ],
)
def test_what_cannot_be_had_is_told_in_a_line(page: TestClient, wrong: dict[str, str]) -> None:
    answer = page.get("/images/sheet.png", params=IMAGE | {"num": "4"} | wrong)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text.splitlines()) == 1


def test_samples_of_a_run_are_shown_and_no_other_file_of_it(page: TestClient, root: Path) -> None:
    step = min(int(file.stem[5:]) for file in (root / "first" / "samples").glob("step-*.png"))
    answer = page.get("/runs/samples.png", params={"run": "first", "step": step})
    assert answer.content == (root / "first" / "samples" / f"step-{step:06d}.png").read_bytes()
    assert page.get("/runs/samples.png", params={"run": "first", "step": "7777"}).status_code == 404
    assert page.get("/runs/samples.png", params={"run": "first", "step": "../../config"}).status_code == 404


def test_samples_that_are_a_link_out_of_the_folder_are_not_shown(page: TestClient, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "first" / "samples" / "step-000777.png").symlink_to(tmp_path / "secret.png")
    answer = page.get("/runs/samples.png", params={"run": "first", "step": "777"})
    assert (answer.status_code, b"secret" in answer.content) == (404, False)


def test_a_pipe_is_not_waited_for(page: TestClient, root: Path) -> None:
    os.mkfifo(root / "first" / "samples" / "step-000777.png")
    assert page.get("/runs/samples.png", params={"run": "first", "step": "777"}).status_code == 404


PLACE = {"of": "first", "seed": "0", "right": "1", "up": "2"}


def test_in_the_middle_of_the_map_is_the_seeds_own_image(page: TestClient) -> None:
    own = grey(page.get("/images/one.png", params={"of": "first", "seed": "0"}).content)
    np.testing.assert_array_equal(grey(page.get("/views/picture.png", params=PLACE).content), own)


def test_a_picture_of_the_map_claims_a_seed_only_where_it_is_its_image(
    page: TestClient, root: Path, tmp_path: Path
) -> None:
    beside = PLACE | {"u": "0.5"}
    files = [tmp_path / "seed.png", tmp_path / "beside.png"]
    for file, place in zip(files, (PLACE, beside), strict=True):
        file.write_bytes(page.get("/views/picture.png", params=place).content)
    assert [each.outcome for each in verify(files, root / "first")] == ["proven", "no provenance"]
    assert b"Synthetic" in files[1].read_bytes()


def test_the_map_has_the_images_of_its_places_the_first_row_above(page: TestClient) -> None:
    sheet = grey(page.get("/views/map.png", params=PLACE).content)
    assert sheet.shape == (7 * 32, 7 * 32)
    for u, v, row, column in ((-1, 1, 0, 0), (1, 1, 0, 6), (0, 0, 3, 3), (1, -1, 6, 6)):
        tile = sheet[32 * row : 32 * row + 32, 32 * column : 32 * column + 32].astype(int)
        alone = grey(page.get("/views/picture.png", params=PLACE | {"u": str(u), "v": str(v)}).content).astype(int)
        assert np.abs(tile - alone).max() <= 1  # made in another batch, which may round otherwise


@pytest.mark.parametrize(
    "wrong",
    [
        {"u": "2"},
        {"u": "nan"},
        {"v": "x"},
        {"right": "0"},
        {"share": "0.5"},
        {"slider.nothing": "1"},
        {"label": "NORMAL"},
    ],
)
def test_a_place_that_is_none_is_told_in_a_line(page: TestClient, wrong: dict[str, str]) -> None:
    answer = page.get("/views/picture.png", params=PLACE | wrong)
    assert (answer.status_code, len(answer.text.splitlines())) == (404, 1)


def test_a_slider_changes_the_picture_as_the_direction_says(state: State, page: TestClient) -> None:
    found = state.directions.of("first", 120)
    assert isinstance(found, tuple)
    answer = page.get("/views/picture.png", params=PLACE | {"slider.exposure": "2"})
    place = Place(0, 1, 2, sliders={"exposure": 2.0})
    np.testing.assert_array_equal(grey(answer.content), picture(state.catalogue.generator("first"), place, found))


def test_files_of_a_study_tell_nothing_and_come_in_their_order(page: TestClient, state: State) -> None:
    key = state.studies.open(Study("a", "prepared", "first", 6, 0))
    session = state.studies.session(key)
    sizes, texts = set(), set()
    for place, item in enumerate(session.items):
        assert page.get("/studies/image.png", params={"study": key, "place": place + 1}).status_code == 404
        answer = page.get("/studies/image.png", params={"study": key, "place": place})
        np.testing.assert_array_equal(grey(answer.content), item.image)
        with Image.open(io.BytesIO(answer.content)) as picture:
            texts.add(json.dumps({name: str(value) for name, value in picture.info.items()}))
        sizes.add(len(answer.content))
        assert page.get("/studies/answers.csv", params={"study": key}).status_code == 404
        session.answer(place, "real")
    assert (len(sizes), texts) == (1, {"{}"})
    told = page.get("/studies/answers.csv", params={"study": key}).text
    assert told.splitlines()[1].split(",")[1:3] == [session.items[0].truth, "real"]


def test_answers_are_on_disk_at_once_and_a_study_goes_on_where_it_was(state: State, root: Path) -> None:
    study = Study("reader", "prepared", "first", 4, 7)
    session = state.studies.session(state.studies.open(study))
    session.answer(0, "synthetic")
    session.answer(0, "real")  # one that was given stays
    session.answer(2, "real")  # out of turn
    again = State.opened(root, tuple(state.catalogue.datasets_in))
    resumed = again.studies.session(again.studies.open(study))
    assert (resumed.answers, resumed.place) == ({0: "synthetic"}, 1)


@pytest.mark.parametrize("reader", ["", "..", "a/b", ".hidden", "a\nb", "x" * 500])
def test_a_readers_name_makes_no_path(state: State, reader: str) -> None:
    with pytest.raises(UserError, match="reader"):
        state.studies.open(Study(reader, "prepared", "first", 4, 0))


def test_a_hostile_run_names_a_harmless_file(page: TestClient, root: Path) -> None:
    name = '"; rm -rf'
    shutil.copytree(root / "first", root / name)
    answer = page.get("/images/one.png", params=IMAGE | {"of": name})
    assert answer.headers["content-disposition"] == 'inline; filename="___rm_-rf-seed-000003.png"'


def test_beyond_a_limit_visitors_are_told_to_wait(state: State, page: TestClient) -> None:
    darkroom, hold, held = state.darkroom, threading.Event(), threading.Event()

    def work() -> None:
        held.set()
        hold.wait(30)

    first = threading.Thread(target=darkroom.in_turn, args=(work,))
    first.start()
    held.wait(30)
    others = [threading.Thread(target=darkroom.in_turn, args=(lambda: None,)) for _ in range(MOST_WAITING - 1)]
    for other in others:
        other.start()
    with pytest.raises(Busy):
        while True:  # until all others wait
            darkroom.in_turn(lambda: None) if darkroom._waiting._value == 0 else None
    answer = page.get("/images/one.png", params=IMAGE)
    hold.set()
    for thread in [first, *others]:
        thread.join()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert page.get("/images/one.png", params=IMAGE).status_code == 200


def test_sixteen_images_are_made_at_once_and_few_are_kept(root: Path) -> None:
    generator, darkroom = cxrgan.load_generator(root / "first"), Darkroom()
    for seed in range(32):
        darkroom.image(generator, seed, None, 1.0)
    assert len(darkroom._blocks) == 2
    for seed in range(0, 16 * (MOST_BLOCKS + 3), 16):
        darkroom.image(generator, seed, None, 1.0)
    assert len(darkroom._blocks) == MOST_BLOCKS


def test_strangers_need_a_token(root: Path) -> None:
    with pytest.raises(UserError, match="--token"):
        serve(root, (), host="0.0.0.0", port=0, token=None, ready=lambda address: None)


def test_an_address_that_is_taken_is_named() -> None:
    with listening("127.0.0.1", 0) as place:
        place.listen()
        with pytest.raises(UserError, match="try another --port"), listening("127.0.0.1", place.getsockname()[1]):
            pass
