"""Signals that ask for the end: KeyboardInterrupt, so that what is half-written is removed and one line is said."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def as_interrupts() -> Iterator[threading.Event]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in here; the event is set once one came.

    The event is for what becomes of a KeyboardInterrupt inside compiled code: another exception, often an ImportError.
    A signal that the caller ignores, as nohup does with SIGHUP, stays ignored.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.set()
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.getsignal(number) for number in numbers}
    for number, handler in previous.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
