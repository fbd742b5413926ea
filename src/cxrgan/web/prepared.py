"""What takes seconds to find out about a generator, found in the background when it is first asked for, and kept."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cxrgan.errors import UserError
from cxrgan.files import trouble

Found = TypeVar("Found")


class Prepared(Generic[Found]):
    """By the name of the generator."""

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._found: dict[str, Found | str] = {}
        self._ready: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def of(self, name: str, patience: float) -> Found | str | None:
        """What was found, or why nothing can be; None where it is not ready after `patience` seconds."""
        with self._lock:
            ready = self._ready.get(name)
            if ready is None:
                ready = self._ready[name] = threading.Event()
                threading.Thread(target=self._prepare, args=(name, ready), daemon=True).start()
        return self._found[name] if ready.wait(patience) else None

    def _prepare(self, name: str, ready: threading.Event) -> None:
        try:
            self._found[name] = self._find(name)
        except UserError as error:
            self._found[name] = str(error)
        except OSError as error:
            self._found[name] = trouble(error)
        ready.set()
