"""cxrgan: train GANs on chest X-rays, measure how good they are, and make images with them.

For research and teaching only, no clinical use. The functions are those of the commands of the same names.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxrgan.api import audit, evaluate, load_run, prepare, report, train
    from cxrgan.data.dataset import load_dataset
    from cxrgan.generation.generator import load_generator

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "audit",
    "evaluate",
    "load_dataset",
    "load_generator",
    "load_run",
    "prepare",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    """The public functions, loaded when they are first named, so that `import cxrgan` stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'cxrgan' has no attribute {name!r}")
    from cxrgan import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """The public names, those too that are not loaded yet: a notebook's completion asks here."""
    return sorted(__all__)
