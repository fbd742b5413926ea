"""Signals that ask for the end: KeyboardInterrupt, so that what is half-written is removed and one line is said."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
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


def interruptible(run: Callable[[], int]) -> int | None:
    """What `run` returns; None where a signal asked for the end, whatever exception that came out as.

    A `run` that answers a signal itself returns 130. For the whole of a process: afterwards SIGINT is ignored, for the
    interpreter's end has nothing to save.
    """
    sys.unraisablehook = _again
    status: int | None = None
    try:
        with as_interrupts() as asked:
            try:
                status = run()
            except BaseException as error:
                if not (asked.is_set() or isinstance(error, KeyboardInterrupt)):
                    raise
    except KeyboardInterrupt:  # one that `_again` asked for anew came when the handlers were taken back already
        status = 130 if status == 130 else None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exec("pass")  # CPython forgets an interrupt in an exec before, as dataclasses have, which would end it by SIGINT
    return status


def _again(lost: "sys.UnraisableHookArgs") -> None:
    """An interrupt in a callback, which Python drops, as imports have many: ask again, outside of it."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)
