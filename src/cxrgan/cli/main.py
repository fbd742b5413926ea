"""The command line: parses, runs a command, and says in a line what went wrong.

Each command is a frozen dataclass in a file of its own, whose fields are its arguments. Heavy imports stand inside
`run`, so that help and errors of the command line come at once.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Union

import tyro

from cxrgan import __version__
from cxrgan.cli import train
from cxrgan.cli.audit import Audit
from cxrgan.cli.demo import Demo
from cxrgan.cli.doctor import Doctor
from cxrgan.cli.evaluate import Evaluate
from cxrgan.cli.experiments import Experiments
from cxrgan.cli.export import Export
from cxrgan.cli.generate import Generate
from cxrgan.cli.prepare import Prepare
from cxrgan.cli.push import Push
from cxrgan.cli.report import Report
from cxrgan.cli.train_domain import TrainDomain
from cxrgan.cli.verify import Verify
from cxrgan.cli.web import Web
from cxrgan.console import speaking
from cxrgan.errors import UserError
from cxrgan.files import trouble
from cxrgan.lines import complain, say
from cxrgan.signals import as_interrupts

DESCRIPTION = """Train GANs on chest X-rays and make images with them.

Research and teaching only, no clinical use. `cxrgan COMMAND --help` explains a command; `--debug` after any
command shows the traceback of an error; `cxrgan --version` says which version this is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0, 2 for bad input, 1 for work that failed, 130 when interrupted; 3 where an audit finds copies, or `verify` a file
    that is not proven.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    if arguments == ["--version"]:
        say(f"cxrgan {__version__}, torch {version('torch')}, Python {sys.version.split()[0]}")
        return 0
    with speaking(), as_interrupts() as asked:
        try:
            status: int = _parse(arguments).run()
            return status
        except (KeyboardInterrupt, Exception) as error:
            if asked.is_set() or isinstance(error, KeyboardInterrupt):
                complain("interrupted")
                return 130
            if debug:
                raise
            return _explain(error)


def _explain(error: Exception) -> int:
    """Say in a line what went wrong, after what was noted of it; returns the exit status."""
    for note in getattr(error, "__notes__", []):
        say(f"doctor: {note}")
    if isinstance(error, UserError):
        complain(str(error))
        return error.exit_status
    if isinstance(error, OSError):
        complain(trouble(error))
    elif isinstance(error, MemoryError) or "allocate" in str(error):
        complain(f"not enough memory ({error or 'none is left'}); ask for less at once: fewer images, smaller networks")
    else:  # a mistake of ours, or a machine at its end: drivers
        complain(f"{type(error).__name__}: {error}; --debug shows where it happened")
    return 1


COMMANDS = {
    "prepare": Prepare,
    "train": train.Train,
    "generate": Generate,
    "verify": Verify,
    "evaluate": Evaluate,
    "audit": Audit,
    "doctor": Doctor,
    "report": Report,
    "push": Push,
    "export": Export,
    "web": Web,
    "experiments": Experiments,
    "train-domain": TrainDomain,
    "demo": Demo,
}


def _parse(arguments: Sequence[str]) -> Any:
    """The command with its arguments; each is parsed by itself, so that its errors point to its own help."""
    name, *rest = arguments
    config = (tyro.conf.OmitArgPrefixes,)
    if name == "train":
        return train.parse(rest)
    if name in COMMANDS:
        return tyro.cli(COMMANDS[name], prog=f"cxrgan {name}", args=rest, config=config)
    every: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())]  # noqa: UP007
    return tyro.cli(every, prog="cxrgan", description=DESCRIPTION, args=arguments, config=config)
