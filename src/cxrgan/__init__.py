"""cxrgan: train GANs on chest X-rays and make images with them. For research only, no clinical use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxrgan.data.dataset import load_dataset
    from cxrgan.generation.generator import load_generator

__version__ = "0.1.0"
__all__ = ["__version__", "load_dataset", "load_generator"]


def __getattr__(name: str) -> Any:
    """The public functions, loaded when they are first named, so that `import cxrgan` stays light."""
    if name == "load_dataset":
        from cxrgan.data.dataset import load_dataset

        return load_dataset
    if name == "load_generator":
        from cxrgan.generation.generator import load_generator

        return load_generator
    raise AttributeError(f"module 'cxrgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those too that are not loaded yet: a notebook's completion asks here."""
    return sorted(__all__)
