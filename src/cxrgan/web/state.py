"""What the tabs and the pictures of a page share."""

from dataclasses import dataclass
from pathlib import Path

from cxrgan.evaluation.neighbours import Neighbours, neighbours_of
from cxrgan.generation.directions import Direction, find_directions
from cxrgan.generation.shipped import GENERATORS
from cxrgan.web.catalogue import Catalogue
from cxrgan.web.pictures import Darkroom
from cxrgan.web.prepared import Prepared
from cxrgan.web.studies import Studies
from cxrgan.web.trainings import Trainings


@dataclass(frozen=True)
class State:
    """Of one server."""

    catalogue: Catalogue
    darkroom: Darkroom
    neighbours: Prepared[Neighbours]
    directions: Prepared[tuple[Direction, ...]]
    trainings: Trainings
    studies: Studies
    visitors: bool
    """Whether strangers look at it: nobody can train, or see real images, then."""

    @classmethod
    def opened(cls, root: Path, datasets_in: tuple[Path, ...], *, visitors: bool = False) -> "State":
        """For the folder of runs `root`."""
        catalogue, darkroom = Catalogue(root, datasets_in), Darkroom()
        return cls(
            catalogue=catalogue,
            darkroom=darkroom,
            neighbours=Prepared(lambda name: neighbours_of(name if name in GENERATORS else catalogue.run(name))),
            directions=Prepared(lambda name: find_directions(catalogue.generator(name))),
            trainings=Trainings(root),
            studies=Studies(catalogue, darkroom),
            visitors=visitors,
        )
