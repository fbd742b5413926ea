"""The page in a real browser, used as a person would."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import PATIENCE, Server, chromium, read_lines, serving
from PIL import Image
from tiny import write_tiny_dataset

import cxrgan
from cxrgan.data.dataset import load_dataset
from cxrgan.evaluation.reader_study import draw_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Path:
    """Runs, one of them with a name that would be a script, and a dataset."""
    place = tmp_path_factory.mktemp("page")
    for name in ("first", "second", HOSTILE):
        shutil.copytree(tiny_run, place / "runs" / name)
    config = json.loads((place / "runs" / "second" / "config.json").read_text())
    config["config"]["steps"] = 4000
    (place / "runs" / "second" / "config.json").write_text(json.dumps(config))
    write_tiny_dataset(place / "data" / "blobs", size=64, classes=("NORMAL", "PNEUMONIA"))
    return place


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(place: Path, browser: "Browser") -> Iterator[Server]:
    with serving(place, str(place / "runs"), "--data", str(place / "data")) as server:
        yield server


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Addresses that the page asked for."""
    return []


@pytest.fixture(scope="module")
def page(server: Server, browser: "Browser", asked: list[str]) -> Iterator["Page"]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append("a script of a name ran"))
    page.goto(server.address)
    page.wait_for_selector(".live article")
    yield page
    page.close()


def open_tab(page: "Page", name: str) -> None:
    page.get_by_role("tab", name=name).click()


def choose(page: "Page", label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True).locator("visible=true")
    box.click()
    listed = page.locator(f"[id='{box.get_attribute('aria-controls')}']")
    listed.get_by_role("option", name=value, exact=True).click()
    listed.wait_for(state="hidden")


def grey(page: "Page", address: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(io.BytesIO(page.request.get(address).body())) as picture:
        return np.asarray(picture)


def test_a_run_is_shown_and_new_lines_of_its_log_appear(page: "Page", place: Path) -> None:
    choose(page, "Run", "second")
    page.wait_for_selector("text=step 8 of 4,000")
    with (place / "runs" / "second" / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps({"step": step, "seconds": step * 2.0, "loss_d": 1.0}) + "\n" for step in (9, 10))
    page.wait_for_selector("text=step 10 of 4,000, 20 s of training")
    page.wait_for_selector(".going.training")


def test_the_slider_goes_through_the_samples_and_stays_where_it_was_put(page: "Page", place: Path) -> None:
    choose(page, "Run", "first")
    page.wait_for_selector(".live h2:has-text('first')")
    slider = page.get_by_label("Step of the samples")
    slider.focus()
    page.keyboard.press("Home")
    image = page.locator("figure.time img")
    assert "step=0" in (image.get_attribute("src") or "")
    with (place / "runs" / "first" / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 9, "seconds": 9.0}) + "\n")
    page.wait_for_selector("text=step 9 of 8")
    page.wait_for_function("document.querySelector('figure.time[data-ready]')")
    assert "step=0" in (image.get_attribute("src") or "")
    page.wait_for_function("document.querySelector('figure.time img').naturalWidth > 0")


def test_two_runs_stand_side_by_side(page: "Page") -> None:
    choose(page, "Run", "first")
    choose(page, "Compare with", "second")
    page.wait_for_selector(".changed td:has-text('4000')")
    assert page.locator(".live article").count() == 2
    choose(page, "Compare with", "nothing")
    page.wait_for_selector(".live .single")


def test_a_name_that_would_be_a_script_is_a_name(page: "Page", asked: list[str]) -> None:
    choose(page, "Run", HOSTILE)
    page.locator(".live .single h2").filter(has_text=HOSTILE).wait_for()
    assert "a script of a name ran" not in asked


def test_images_are_made_chosen_and_are_those_of_their_seeds(page: "Page", server: Server) -> None:
    open_tab(page, "Generate")
    page.wait_for_selector(".tiles button[data-seed='23'] img")
    page.get_by_role("radio", name="NORMAL").click()
    page.wait_for_selector(".tiles button[aria-label^='Seed 5, NORMAL']")
    page.get_by_role("button", name="Next").click()
    tile = page.locator(".tiles button[data-seed='25']")
    tile.focus()
    page.keyboard.press("Enter")  # as by a click
    page.wait_for_selector(".detail h2:has-text('Seed 25, NORMAL')")
    assert re.search(r"nearest training image is at a distance of \d", page.locator(".detail").inner_text())
    address = page.locator(".detail a:has-text('PNG')").get_attribute("href")
    made = cxrgan.load_generator("cxr-64").sample(1, 25, "NORMAL").images[0]
    np.testing.assert_array_equal(grey(page, server.address + str(address)), made)
    dicom = page.request.get(server.address + str(page.locator(".detail a:has-text('DICOM')").get_attribute("href")))
    assert dicom.body()[128:132] == b"DICM"


def test_the_picture_follows_the_pointer_the_keys_and_the_sliders(page: "Page") -> None:
    open_tab(page, "Explore")
    choose(page, "Generator", "first")  # small: its sliders are found at once
    pad = page.locator(".explore[data-address*='of=first'] .pad")
    pad.wait_for()
    where, shown = page.locator(".where"), ".here img"

    def changed(by: "Callable[[], object]") -> str:
        before = page.locator(shown).get_attribute("src")
        by()
        page.wait_for_function("before => document.querySelector('.here img').src !== before", arg=before)
        return where.inner_text()

    page.wait_for_selector(".here img[src^='blob:']")
    box = pad.bounding_box()
    assert box
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"]
    assert changed(lambda: page.mouse.move(x, y)) == "u 0.50, v 0.50"
    pad.focus()
    assert changed(lambda: page.keyboard.press("ArrowLeft")) == "u 0.45, v 0.50"
    assert changed(lambda: page.keyboard.press("Home")) == "u 0.00, v 0.00"
    page.wait_for_selector(".sliders h3")
    changed(lambda: page.get_by_role("button", name="Walk between the seeds").click())
    page.wait_for_function("document.querySelector('.where').textContent.startsWith('u 0.0') === false")


def test_sliders_of_a_shipped_generator_are_offered_with_what_they_do(page: "Page") -> None:
    choose(page, "Generator", "cxr-64")
    page.wait_for_selector("[data-slider='exposure']")
    assert "deviation" in page.locator(".sliders").inner_text()
    before = page.locator(".here img").get_attribute("src")
    page.locator("[data-slider='exposure']").focus()
    page.keyboard.press("End")
    page.wait_for_function("before => document.querySelector('.here img').src !== before", arg=before)


def test_what_cannot_be_is_told_on_the_page(page: "Page") -> None:
    open_tab(page, "Runs")
    page.get_by_role("button", name="Train").click()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("text=choose a prepared dataset")


def test_a_reader_study_is_answered_by_keyboard_to_its_end(page: "Page", place: Path) -> None:
    open_tab(page, "Real or synthetic?")
    page.get_by_label("Reader").fill("tester")
    page.get_by_label("Images").locator("visible=true").last.fill("4")
    choose(page, "Real images: prepared dataset", "blobs")
    page.get_by_role("button", name="Begin, or go on").click()
    items = draw_study(load_dataset(place / "data" / "blobs"), cxrgan.load_generator("cxr-64"), 4, 0)
    for number, item in enumerate(items, 1):
        page.wait_for_selector(f".quiz >> text=Image {number} of 4")
        assert "real" not in str(page.locator(".quiz img").get_attribute("src"))
        page.keyboard.press({"real": "r", "synthetic": "s"}[item.truth])
    page.wait_for_selector("text=4 of 4 right")
    (file,) = (place / "runs" / "reader-studies").glob("tester-*.csv")
    assert [row.split(",")[2] for row in file.read_text().splitlines()[1:]] == [item.truth for item in items]


def test_it_fits_a_phone(server: Server, browser: "Browser") -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.set_default_timeout(PATIENCE)
    phone.goto(server.address)
    phone.wait_for_selector(".live article")
    for tab in ("Runs", "Generate", "Explore", "Real or synthetic?"):
        open_tab(phone, tab)
        phone.wait_for_timeout(300)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, tab
    phone.close()


def test_nothing_left_this_machine(page: "Page", server: Server, asked: list[str]) -> None:
    away = [url for url in asked if not url.startswith((server.address, "data:", "blob:"))]
    assert (len(asked) > 50, away) == (True, [])
    assert read_lines(server.outgoing) == []
