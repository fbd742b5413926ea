"""How fast the page answers: moving in the latent space, and many visitors at once.

    python -m benchmarks.page [--generator cxr-64] [--visitors 50] [--json FILE]

Starts `cxrgan web` on this machine. One visitor moves `--moves` times, each move to a new place; then the visitors come
all at once, and each opens the page, looks at the runs, at 24 images, and moves ten times. What is told is the time
until the answer is there, as a visitor's browser sees it without drawing it; an answer "come again" (503) is counted,
and asked again after a second.
"""

import argparse
import json
import platform
import statistics
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from cxrgan.web.server import listening, make_app
from cxrgan.web.state import State

MOVES_OF_A_VISITOR = 10
TILES = 24


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of a page for the folder of runs."""
    app = make_app(State.opened(root, ()), host="127.0.0.1", token=None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with listening("127.0.0.1", 0) as place:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
        server.should_exit = True
        thread.join()


class Visitor:
    """Asks for what a browser asks for, and notes how long each answer takes."""

    def __init__(self, address: str, generator: str, number: int, seconds: dict[str, list[float]]) -> None:
        self.http = httpx.Client(base_url=address, timeout=120)
        self.generator, self.number, self.seconds = generator, number, seconds
        self.waited = 0

    def get(self, what: str, path: str, **query: str | float) -> httpx.Response:
        start = time.perf_counter()
        while (answer := self.http.get(path, params=dict(query))).status_code == 503:
            self.waited += 1
            time.sleep(float(answer.headers.get("retry-after", 1)))
        answer.raise_for_status()
        self.seconds[what].append(time.perf_counter() - start)
        return answer

    def open(self) -> None:
        self.get("page", "/")
        self.config = self.get("config", "/config").json()

    def look(self) -> None:
        """The view of the tab Runs, by Gradio's queue."""
        event = next(each for each in self.config["dependencies"] if each["api_name"] == "look")
        session = uuid.uuid4().hex[:10]
        body = {"data": [None, "nothing", None], "fn_index": event["id"], "session_hash": session}
        start = time.perf_counter()
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                if "process_completed" in line:
                    assert json.loads(line.removeprefix("data: "))["success"], line[:300]
                    break
        self.seconds["runs"].append(time.perf_counter() - start)

    def images(self) -> None:
        for seed in range(TILES):
            self.get("image", "/images/one.png", of=self.generator, seed=1000 * self.number + seed, truncation=1)

    def move(self, times: int) -> None:
        for index in range(times):
            place = {"seed": 3 * self.number, "right": 3 * self.number + 1, "up": 3 * self.number + 2}
            self.get("move", "/views/picture.png", of=self.generator, u=index / times, v=0.5, **place)

    def visit(self) -> None:
        self.open()
        self.look()
        self.images()
        self.move(MOVES_OF_A_VISITOR)


def summary(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Number, median and 95th percentile in milliseconds of each kind of answer."""
    return {
        what: {
            "n": len(values),
            "median_ms": round(1000 * statistics.median(values), 1),
            "p95_ms": round(1000 * sorted(values)[int(0.95 * (len(values) - 1))], 1),
        }
        for what, values in seconds.items()
    }


def measure(generator: str, visitors: int, moves: int, root: Path) -> dict[str, Any]:
    """Both parts, for one generator."""
    with serving(root) as address:
        alone: dict[str, list[float]] = defaultdict(list)
        first = Visitor(address, generator, 0, alone)
        first.visit()
        alone.clear()
        first.open()
        first.look()
        first.move(moves)
        together: dict[str, list[float]] = defaultdict(list)
        many = [Visitor(address, generator, number, together) for number in range(1, visitors + 1)]
        start = time.perf_counter()
        threads = [threading.Thread(target=each.visit) for each in many]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        whole = time.perf_counter() - start
    assert len(together["move"]) == visitors * MOVES_OF_A_VISITOR, "a visitor was not served"
    return {
        "generator": generator,
        "machine": f"{platform.machine()}, {platform.processor() or 'unknown processor'}",
        "alone": summary(alone),
        "together": {
            "visitors": visitors,
            "seconds": round(whole, 1),
            "told_to_wait": sum(each.waited for each in many),
        }
        | summary(together),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="cxr-64")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--runs", type=Path, help="a folder of runs; an empty one otherwise")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        found = measure(arguments.generator, arguments.visitors, arguments.moves, arguments.runs or Path(empty))
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
