"""The argument SOURCE of a command -> a source."""

from dataclasses import replace
from pathlib import Path

from cxrgan.data.sources.download import fetch_kaggle, fetch_pneumoniamnist
from cxrgan.data.sources.drawn import phantom_source
from cxrgan.data.sources.folder import folder_source
from cxrgan.data.sources.labels import LabelTable, read_labels
from cxrgan.data.sources.npz import npz_source
from cxrgan.data.sources.record import CC_BY, KERMANY, Source
from cxrgan.errors import UserError


def open_source(source: str, *, size: int, seed: int, num: int, labels: LabelTable | None = None) -> Source:
    """The SOURCE of the command line: `phantom`, `kaggle`, `pneumoniamnist`, an .npz file or a folder.

    `size` chooses the resolution of a download and of the phantom; `seed` and `num` are the phantom's; `labels` are a
    folder's.
    """
    path = Path(source).expanduser()
    if labels:
        if not path.is_dir():
            raise UserError(f"tables of labels are for a folder of images, and {source} is none; leave --labels out")
        return folder_source(path, read_labels(labels))
    match source:
        case "phantom":
            return phantom_source(num=num, size=size, seed=seed)
        case "kaggle":
            return replace(folder_source(fetch_kaggle()), name="kaggle", license=CC_BY, citation=KERMANY)
        case "pneumoniamnist":
            return npz_source(fetch_pneumoniamnist(size))
    if path.is_dir():
        return folder_source(path)
    if path.suffix == ".npz" and path.is_file():
        return npz_source(path)
    problem = "is not a folder or an .npz file" if path.exists() else "does not exist"
    raise UserError(f"{source} {problem}; give a folder of images, an .npz file, phantom, kaggle or pneumoniamnist")
