"""The page that runs a generator in a browser: whole, offline, safe from names, and in chromium as a person uses it.

Chromium tests need the npm package onnxruntime-web: in node_modules/ of the checkout, or where CXRGAN_ORT_WEB says.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY

from benchmarks.browser import FLAGS, MOVES, served
from cxrgan.cli.main import main
from cxrgan.generation.generator import load_generator
from cxrgan.generation.provenance import Origin
from cxrgan.generation.writers.browser import CDN, ON_CDN, PROGRAM, SCRIPT, STATIC, Runtime, find_runtime, write_browser
from cxrgan.generation.writers.onnx import Graph

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\u202e\udc80"
GRAPH = Graph(b"a model", ("latents", "label", "truncation"), 0.0)
READY = "#image[aria-label^=Synthetic]"


def origin(words: str = "run") -> Origin:
    return Origin("0.1.0", words, "0" * 64, 8, 1.0, words)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder that looks like the npm package."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "9.8.7"}')
    (folder / "dist" / SCRIPT).write_text("export {};")
    (folder / "dist" / PROGRAM).write_bytes(b"\0asm")
    (folder / "dist" / "ort.all.js").write_text("not needed")
    return folder


def page(out: Path, runtime: Runtime, words: str = "run", classes: tuple[str, ...] = ("NORMAL",)) -> Path:
    write_browser(GRAPH, TINY.model, classes, origin(words), out, runtime)
    return out


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_the_folder_is_whole_and_asks_nobody_else(package: Path, tmp_path: Path) -> None:
    out = page(tmp_path / "page", find_runtime(package))
    assert files(out) == {file.name for file in STATIC.iterdir()} | {
        "model.onnx", "model.json", f"ort/{SCRIPT}", f"ort/{PROGRAM}",
    }  # fmt: skip
    for name in ("index.html", "model.json", "app.js", "engine.js", "worker.js", "latents.js", "png.js", "style.css"):
        text = (out / name).read_text()
        assert not re.search("https?:", text), name
        named = re.findall(r'(?:src|href)="([^"]+)"|from "([^"]+)"|Worker\("([^"]+)"|fetch\("([^"]+)"', text)
        for link in {part for parts in named for part in parts if part} - {"data:,"}:
            assert (out / link).is_file(), link
    assert "connect-src 'self';" in (out / "index.html").read_text()
    assert not set(re.findall(r"{[{%]", (out / "index.html").read_text()))


def test_what_the_page_fetches_is_pinned_by_its_hash(package: Path, tmp_path: Path) -> None:
    out = page(tmp_path / "page", find_runtime(package))
    about = json.loads((out / "model.json").read_text())
    assert about["files"].keys() == {"runtime", "program", "model"}
    for file in about["files"].values():
        content = (out / file["url"]).read_bytes()
        assert file["bytes"] == len(content)
        assert file["integrity"] == f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}"
    assert "ONNX Runtime Web 9.8.7" in (out / "index.html").read_text()


def test_without_a_package_the_page_takes_the_runtime_from_a_pinned_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_runtime(None) == ON_CDN
    out = page(tmp_path / "page", ON_CDN)
    about = json.loads((out / "model.json").read_text())
    assert re.fullmatch(r"https://cdn\.jsdelivr\.net/npm/onnxruntime-web@\d+\.\d+\.\d+/dist/", CDN)
    assert [about["files"][name]["url"] for name in ("runtime", "program")] == [CDN + SCRIPT, CDN + PROGRAM]
    assert f"connect-src 'self' {CDN};" in (out / "index.html").read_text()
    assert not (out / "ort").exists()


def test_a_package_that_lies_here_is_found(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node_modules").mkdir()
    package.rename(tmp_path / "node_modules" / "onnxruntime-web")
    monkeypatch.chdir(tmp_path)
    assert find_runtime(None).version == "9.8.7"


class Tags(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_names_and_licences_stay_text(package: Path, tmp_path: Path) -> None:
    read = []
    for name, words in (("plain", "run"), ("hostile", HOSTILE)):
        out = page(tmp_path / name, find_runtime(package), words, (words, "NORMAL"))
        tags = Tags()
        tags.feed((out / "index.html").read_text(encoding="utf-8"))
        read.append(tags)
        assert json.loads((out / "model.json").read_text())["classes"][0] == words
    assert read[1].tags == read[0].tags
    assert (
        sum(HOSTILE.removesuffix("\udc80") in text for text in read[1].texts) == 5
    )  # title, heading, class, two facts


def test_nothing_is_mixed_with_the_page_nor_half_written(package: Path, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine").touch()
    with pytest.raises(Exception, match="exists already; choose another folder for the page"):
        page(tmp_path / "page", find_runtime(package))
    assert files(tmp_path / "page") == {"mine"}


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1])
def test_a_seed_has_pytorchs_latent(seed: int) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's latents")
    sizes = [1, 2, 15, 16, 17, 40, 100, 2500]  # torch.randn draws otherwise from 16 on, and where 16 is no divisor
    script = f"import {{ randn }} from '{(STATIC / 'latents.js').as_uri()}';"
    script += f"console.log(JSON.stringify({sizes}.map((size) => [...randn(size, {seed})])));"
    done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    for size, values in zip(sizes, json.loads(done.stdout), strict=True):
        wanted = torch.randn(size, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(values, wanted.numpy(), atol=2e-6)


@pytest.fixture(scope="session")
def ort_web() -> Path:
    """The npm package."""
    folder = Path(os.environ.get("CXRGAN_ORT_WEB", ROOT / "node_modules" / "onnxruntime-web"))
    if not (folder / "package.json").is_file():
        pytest.skip(f"no onnxruntime-web in {folder}: npm install --no-save onnxruntime-web, or set CXRGAN_ORT_WEB")
    return folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: install Debian's package chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def exported(ort_web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of cxr-64, as the command writes it."""
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    out = tmp_path_factory.mktemp("exported") / "page"
    assert main(["export", "cxr-64", "--browser", str(out), "--runtime", str(ort_web)]) == 0
    return out


@contextmanager
def opened(browser: "Browser", folder: Path, width: int = 1440) -> "Iterator[Page]":
    """The page of a folder with its first image; at the end no error was shown and no request had left this machine."""
    with served(folder) as address:
        context = browser.new_context(viewport={"width": width, "height": 900})
        page, asked, errors = context.new_page(), list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector(READY, timeout=120_000)
        yield page
        assert [url for url in asked if not url.removeprefix("blob:").startswith(address)] == []
        assert errors == []
        assert page.locator("#status").is_hidden()
        context.close()


def said(page: "Page") -> str:
    return page.get_attribute("#image", "aria-label") or ""


def pixels(page: "Page") -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The large image, (M, M)."""
    encoded = page.evaluate("document.querySelector('#image').toDataURL().split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))


def test_in_chromium_the_image_of_a_seed_is_that_of_the_command(browser: "Browser", exported: Path) -> None:
    generator = load_generator("cxr-64")
    with opened(browser, exported) as page:
        for seed, index in ((0, 0), (5, 1), (2**32 - 1, 0)):
            label = list(generator.classes)[index]
            page.check(f"input[name=label][value='{index}']", force=True)
            page.fill("#seed", str(seed))
            page.wait_for_selector(f"#image[aria-label='Synthetic chest X-ray: seed {seed}, {label}']")
            wanted = generator.sample(1, seed, label).images[0]
            assert np.abs(pixels(page).astype(int) - wanted).max() <= 1
        page.evaluate("const range = document.querySelector('#truncation'); range.value = 0.5;"
                      "range.dispatchEvent(new Event('input', { bubbles: true }))")  # fmt: skip
        page.wait_for_selector("#image[aria-label$='truncation 0.5']")
        wanted = generator.sample(1, 2**32 - 1, "NORMAL", truncation=0.5).images[0]
        assert np.abs(pixels(page).astype(int) - wanted).max() <= 1
        command = page.inner_text("#again")
    assert command == "cxrgan generate cxr-64 --seed 4294967295 --num 1 --label NORMAL --truncation 0.5 --out images"


def test_in_chromium_a_download_is_proven_by_verify(
    browser: "Browser", exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(browser, exported) as page:
        page.fill("#seed", "12")
        page.wait_for_selector("#image[aria-label*='seed 12,']")
        with page.expect_download() as waiting:
            page.click("#download")
        assert waiting.value.suggested_filename == "seed-000012.png"
        waiting.value.save_as(tmp_path / "image.png")
        page.press("#pad", "ArrowRight")
        page.wait_for_selector("#image[aria-label*='moved']")
        with page.expect_download() as waiting:
            page.click("#download")
        waiting.value.save_as(tmp_path / "moved.png")
    assert main(["verify", str(tmp_path / "image.png")]) == 0
    assert "proven" in capsys.readouterr().out
    moved = Image.open(tmp_path / "moved.png")
    assert "no clinical use" in moved.text["Description"]  # type: ignore[attr-defined]
    assert main(["verify", str(tmp_path / "moved.png")]) == 3  # no seed makes it


def test_in_chromium_the_image_follows_keys_and_pointer(browser: "Browser", exported: Path) -> None:
    generator = load_generator("cxr-64")
    with opened(browser, exported, width=390) as page:
        at_seed = pixels(page)
        page.focus("#pad")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#image[aria-label*='moved 0.05 right']")
        near = pixels(page)
        assert 0 < np.abs(near.astype(int) - at_seed).mean() < 20
        for _ in range(3):
            page.keyboard.press("Shift+ArrowRight")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.wait_for_selector("#image[aria-label*='seed 1,']")  # the next seed lies at the right
        assert np.abs(pixels(page).astype(int) - generator.sample(1, 1, "NORMAL").images[0]).max() <= 1
        page.keyboard.press("Home")
        page.wait_for_selector("#image[aria-label*='seed 0,']")
        assert np.array_equal(pixels(page), at_seed)
        box = page.locator("#pad").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 10)
        page.mouse.up()
        page.wait_for_selector("#image[aria-label*='seed 2,']")  # and the one after it at the top
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert len(page.evaluate(MOVES, 4)) == 4


def test_in_chromium_a_flood_of_moves_draws_few_images_and_the_last(browser: "Browser", exported: Path) -> None:
    flood = """async () => {
        const image = document.querySelector('#image'), pad = document.querySelector('#pad');
        let drawn = 0;
        const last = new Promise((done) => new MutationObserver((seen) => {
            drawn += seen.length;
            if (image.getAttribute('aria-label').includes('1.25 left')) done();
        }).observe(image, { attributeFilter: ['aria-label'] }));
        for (let i = 0; i < 300; i++) pad.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }));
        await last;
        return drawn;
    }"""
    with opened(browser, exported) as page:
        assert page.evaluate(flood) <= 2  # the one on its way, and the newest


def test_in_chromium_the_gallery_leads_to_its_seeds(browser: "Browser", exported: Path) -> None:
    with opened(browser, exported) as page:
        assert page.locator("#gallery button").count() == 12
        page.click("#others")
        page.click("#gallery button[aria-label='Take seed 15']")
        page.wait_for_selector("#image[aria-label*='seed 15,']")
        assert page.input_value("#seed") == "15"
        page.click("#next")
        page.wait_for_selector("#image[aria-label*='seed 16,']")
        page.fill("#seed", "-3")
        page.fill("#seed", "")
        page.press("#pad", "ArrowUp")  # of the last seed that was one
        page.wait_for_selector("#image[aria-label*='0.05 up']")


def stand_in(page: "Page", url: str, content: bytes) -> None:
    """Answer for the CDN, which is not asked."""
    page.route(url, lambda route: route.fulfill(body=content, headers={"access-control-allow-origin": "*"}))


@pytest.mark.parametrize("tampered", [False, True])
def test_in_chromium_the_runtime_of_the_cdn_is_taken_only_as_it_was_pinned(
    tampered: bool, browser: "Browser", exported: Path, ort_web: Path, tmp_path: Path
) -> None:
    if find_runtime(ort_web).version != ON_CDN.version:
        pytest.skip(f"the package in {ort_web} is not {ON_CDN.version}, which is pinned")
    out = tmp_path / "page"
    about = json.loads((exported / "model.json").read_text())
    generator = load_generator("cxr-64")
    graph = Graph((exported / "model.onnx").read_bytes(), ("latents", "label", "truncation"), 0.0)
    write_browser(graph, generator.config, about["classes"], generator.origin(), out, ON_CDN)
    with served(out) as address:
        page = browser.new_context().new_page()
        for name in (SCRIPT, PROGRAM):
            stand_in(page, CDN + name, (ort_web / "dist" / name).read_bytes() + b" " * (tampered and name == SCRIPT))
        page.goto(address)
        page.wait_for_selector("#status.warning" if tampered else READY, timeout=120_000)
        if tampered:
            assert "The generator cannot run here" in page.inner_text("#status")
        page.context.close()


def test_in_chromium_hostile_names_are_shown_and_not_obeyed(
    browser: "Browser", exported: Path, ort_web: Path, tmp_path: Path
) -> None:
    generator = load_generator("cxr-64")
    graph = Graph((exported / "model.onnx").read_bytes(), ("latents", "label", "truncation"), 0.0)
    write_browser(graph, generator.config, (HOSTILE, "B"), origin(HOSTILE), tmp_path / "page", find_runtime(ort_web))
    with opened(browser, tmp_path / "page") as page:
        assert page.title().startswith("</script>")
        assert "</script><script>" in page.inner_text("h1")
        assert "</script><script>" in page.inner_text("#caption")
        assert page.locator("img").count() == 0
        assert "owned" not in page.evaluate("document.title").split(":")[-1]
