"""The page as a web server: pictures at addresses of their own, the rest by Gradio, all of it behind the guard."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.generation.explore import Place, picture, place_latents
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.generation.latents import render
from cxrgan.generation.provenance import Provenance
from cxrgan.images import SYNTHETIC, encode_png, grid
from cxrgan.runs.grids import find_grids
from cxrgan.web.guard import LOOPBACK, Guard
from cxrgan.web.pictures import Busy, as_dicom, as_png
from cxrgan.web.state import State

KEPT = {"cache-control": "private, max-age=3600"}
MOST_CONNECTIONS = 1000  # each visitor holds a few; those beyond are told to come again
MOST_SHOWN = 64  # images of a sheet
MAP = 7  # images of a map each way
SLIDER = "slider."  # before the name of a slider in an address
PATIENCE = 5.0  # seconds that a picture waits for its sliders
SPACES = "'self' https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Asked:
    """What an address asks for, after its question mark."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.values.get(name, "")

    def label(self) -> str | None:
        """A class, or None for those that the seeds have."""
        return self.values.get("label") or None

    def whole(self, name: str) -> int:
        value = self.values.get(name, "")
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            raise UserError(f"{name} is {shown(value)}, but must be a whole number")
        return int(value)

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.values.get(name, default))
        except ValueError:
            raise UserError(f"{name} is {shown(self.values[name])}, but must be a number") from None


class Pictures:
    """What is at the addresses of pictures and files; each method answers one."""

    def __init__(self, state: State) -> None:
        self._state = state

    def image(self, asked: Asked) -> Response:
        """One generated image as PNG."""
        return self._image(asked, as_png, "png", "image/png")

    def dicom(self, asked: Asked) -> Response:
        """The same as DICOM."""
        return self._image(asked, as_dicom, "dcm", "application/dicom")

    def sheet(self, asked: Asked) -> Response:
        """The images of several seeds on one sheet, as PNG."""
        generator, truncation = self._generator(asked), asked.number("truncation", 1)
        first, num, label = asked.whole("seed"), asked.whole("num"), asked.label()
        if not 1 <= num <= MOST_SHOWN:
            raise UserError(f"a sheet has 1 to {MOST_SHOWN} images, not {num}")
        make = self._state.darkroom.in_turn
        sheet = make(lambda: generator.sample(num, first, label, truncation=truncation).sheet())
        return _file(sheet, "image/png", f"{generator.name}-seeds-{first}-to-{first + num - 1}.png")

    def view(self, asked: Asked) -> Response:
        """The image at a place of the latent space, which the pointer follows."""
        generator, place = self._generator(asked), _place(asked)
        found = self._state.directions.of(asked.text("of"), PATIENCE) if place.sliders else ()
        if not isinstance(found, tuple):
            raise UserError(found or "the sliders are not found yet")
        image = self._state.darkroom.in_turn(lambda: picture(generator, place, found))
        if not place.is_seed:  # no seed makes it: it says that it is synthetic and no more
            return Response(encode_png(image, SYNTHETIC), media_type="image/png", headers=KEPT)
        (label,) = generator.labels(1, place.seed, place.label)
        provenance = Provenance(generator.origin(), "image", (place.seed,), (label,))
        return Response(as_png(image, provenance), media_type="image/png", headers=KEPT)

    def map(self, asked: Asked) -> Response:
        """The images all over the plane of a place, as one sheet without gaps."""
        generator, place = self._generator(asked), _place(asked)
        ways = [-1 + 2 * step / (MAP - 1) for step in range(MAP)]
        places = [replace(place, u=u, v=v, sliders={}) for v in reversed(ways) for u in ways]
        latents = torch.cat([place_latents(generator, each) for each in places])
        images = self._state.darkroom.in_turn(lambda: render(generator.network, latents).numpy())
        return Response(encode_png(grid(images, MAP, gap=0), SYNTHETIC), media_type="image/png", headers=KEPT)

    def samples(self, asked: Asked) -> Response:
        """The samples that a run drew at a step: its own file, and none but those."""
        folder = self._state.catalogue.run(asked.text("run"))
        grids, step = find_grids(folder), asked.whole("step")
        file = grids.get(step)
        inside = file is not None and file.resolve().is_relative_to(self._state.catalogue.root.resolve())
        if file is None or not inside or not file.is_file():  # a FIFO would be waited for
            raise UserError(f"there are no samples of step {step}")
        return FileResponse(file, media_type="image/png", headers=KEPT)

    def of_study(self, asked: Asked) -> Response:
        """An image of a reader study: the pixels, in a file whose size and texts tell nothing."""
        session, place = self._state.studies.session(asked.text("study")), asked.whole("place")
        if place >= len(session.items) or (session.place is not None and place > session.place):
            raise UserError("answer the images before this one first")
        content = encode_png(session.items[place].image, compressed=False)
        return Response(content, media_type="image/png", headers={"cache-control": "no-store"})

    def answers(self, asked: Asked) -> Response:
        """A finished reader study as CSV."""
        session = self._state.studies.session(asked.text("study"))
        return _file(session.csv().encode(), "text/csv", session.file.name)

    def _generator(self, asked: Asked) -> TrainedGenerator:
        return self._state.catalogue.generator(asked.text("of"))

    def _image(self, asked: Asked, write: Callable[..., bytes], suffix: str, kind: str) -> Response:
        generator, truncation, seed = self._generator(asked), asked.number("truncation", 1), asked.whole("seed")
        image, label = self._state.darkroom.image(generator, seed, asked.label(), truncation)
        provenance = Provenance(generator.origin(truncation), "image", (seed,), (label,))
        named = "-".join(filter(None, [generator.name, label, f"seed-{seed:06d}"]))
        return _file(write(image, provenance), kind, f"{named}.{suffix}")


def _place(asked: Asked) -> Place:
    """The place in the latent space that an address names."""
    names = {name.removeprefix(SLIDER): name for name in asked.values if name.startswith(SLIDER)}
    return Place(
        seed=asked.whole("seed"),
        right=asked.whole("right"),
        up=asked.whole("up"),
        u=asked.number("u", 0),
        v=asked.number("v", 0),
        label=asked.label(),
        other=asked.text("other") or None,
        share=asked.number("share", 0),
        sliders={name: asked.number(given, 0) for name, given in names.items()},
    )


def make_app(state: State, *, host: str, token: str | None, framed: bool = False) -> Guard:
    """The whole page as an ASGI application; `framed` lets Hugging Face show it within its own page."""
    from cxrgan.web.app import mount

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    pictures = Pictures(state)
    answers: Mapping[str, Callable[[Asked], Response]] = {
        "/images/one.png": pictures.image,
        "/images/one.dcm": pictures.dicom,
        "/images/sheet.png": pictures.sheet,
        "/views/picture.png": pictures.view,
        "/views/map.png": pictures.map,
        "/runs/samples.png": pictures.samples,
        "/studies/image.png": pictures.of_study,
        "/studies/answers.csv": pictures.answers,
    }
    for path, answer in answers.items():
        app.get(path)(_answering(answer))
    return Guard(mount(app, state), host=host, token=token, parents=SPACES if framed else "'self'")


def _answering(answer: Callable[[Asked], Response]) -> Callable[[Request], Response]:
    """As a route: what cannot be had is told in a line."""

    def route(request: Request) -> Response:
        try:
            return answer(Asked(request.query_params))
        except Busy:
            return PlainTextResponse("too many at once; again in a second\n", 503, {"retry-after": "1"})
        except UserError as error:
            return PlainTextResponse(f"{error}\n", 404)

    return route


def _file(content: bytes, kind: str, name: str) -> Response:
    """Shown where a page shows it, and saved under a name; a name from outside is kept to plain characters."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in name)
    headers = {**KEPT, "content-disposition": f'inline; filename="{plain}"'}
    return Response(content, media_type=kind, headers=headers)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at the address; UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot listen at {host}, port {port}: {reason}; try another --port") from None
        yield place


def serve(
    root: Path,
    datasets_in: tuple[Path, ...],
    *,
    host: str,
    port: int,
    token: str | None,
    visitors: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve the page until a signal ends it; `ready` hears its address.

    At an address that others reach, a token is needed, or `visitors`: then nobody can train or read datasets.
    UserError otherwise, and where the address is taken.
    """
    if host not in LOOPBACK and token is None and not visitors:
        raise UserError(f"--host {host} lets others in; give a --token that they need, such as a long random word")
    state = State.opened(root, () if visitors else datasets_in, visitors=visitors)
    app = make_app(state, host=host, token=token, framed=visitors)
    config = uvicorn.Config(app, log_level="warning", limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    with listening(host, port) as place:
        port = place.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        ready(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
        try:
            server.run(sockets=[place])
        finally:
            state.trainings.close()
