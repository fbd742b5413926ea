"""`cxrgan web`."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.errors import UserError
from cxrgan.lines import say


@dataclass(frozen=True)
class Web:
    """Open a page: watch runs, make images, explore, and a reader study. Needs the extra web."""

    runs: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUNS_DIR")] = Path("runs")
    """The folder of runs, or one run; nothing outside of it is shown."""
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR")] = ()
    """Dataset folders that `cxrgan prepare` made, or folders of them, for new runs and the reader study; those that the
    runs were trained on are known."""
    host: str = "127.0.0.1"
    """The address to listen at; any but this machine's own needs --token."""
    port: int = 7860
    """The port to listen at."""
    token: str | None = None
    """A word that visitors need."""
    open: bool = True
    """Open the page in the browser."""

    def run(self) -> int:
        if not 0 <= self.port < 2**16:
            raise UserError(f"--port is {self.port}, but must be from 0 to 65535")
        for folder in self.data:
            if not folder.is_dir():
                raise UserError(f"--data {folder} is not a folder; give a dataset folder, or a folder of them")
        try:
            from cxrgan.web.server import serve
        except ImportError as error:
            if (error.name or "").split(".")[0] not in ("fastapi", "gradio", "starlette", "uvicorn"):
                raise
            raise UserError("gradio is not installed: in the checkout, pip install '.[web]'") from None

        def ready(address: str) -> None:
            say(f"the page is at {address}; Ctrl-C ends it")
            if self.open:
                webbrowser.open(address)

        serve(self.runs, self.data, host=self.host, port=self.port, token=self.token, ready=ready)
        return 0
