"""What the tabs and the pictures of a page share."""

from dataclasses import dataclass
from pathlib import Path

from cxrgan.web.pictures import Darkroom
from cxrgan.web.catalogue import Catalogue
from cxrgan.web.studies import Studies
from cxrgan.web.trainings import Trainings


@dataclass(frozen=True)
class State:
    """Of one server."""

    catalogue: Catalogue
    darkroom: Darkroom
    trainings: Trainings
    studies: Studies
    visitors: bool
    """Whether strangers look at it: nobody can train, or see real images, then."""

    @classmethod
    def opened(cls, root: Path, datasets_in: tuple[Path, ...], *, visitors: bool = False) -> "State":
        """For the folder of runs `root`."""
        catalogue, darkroom = Catalogue(root, datasets_in), Darkroom()
        return cls(catalogue, darkroom, Trainings(root), Studies(catalogue, darkroom), visitors)
