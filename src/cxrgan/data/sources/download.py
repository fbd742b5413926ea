"""Sources that are downloaded, or found in the cache: PneumoniaMNIST with its checksum, and Kaggle's set."""

from pathlib import Path

from cxrgan.console import note
from cxrgan.errors import UserError

PNEUMONIAMNIST_URL = "https://zenodo.org/records/10519652/files/{name}?download=1"
PNEUMONIAMNIST_MD5 = {  # pixels a side -> checksum of the file
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}


def fetch_pneumoniamnist(size: int) -> Path:
    """Download PneumoniaMNIST, or find it in the cache, at the smallest resolution that has `size` pixels."""
    import pooch

    pixels = min((side for side in PNEUMONIAMNIST_MD5 if side >= size), default=max(PNEUMONIAMNIST_MD5))
    name = "pneumoniamnist.npz" if pixels == 28 else f"pneumoniamnist_{pixels}.npz"
    url = PNEUMONIAMNIST_URL.format(name=name)
    cache = Path(pooch.os_cache("cxrgan"))
    by_hand = f"download it by hand and give the file as SOURCE, or save it as {cache / name}"
    pooch.get_logger().setLevel("WARNING")
    if not (cache / name).exists():
        note(f"downloading {url}")
    try:
        return Path(pooch.retrieve(url, known_hash=f"md5:{PNEUMONIAMNIST_MD5[pixels]}", fname=name, path=cache))
    except ValueError as error:
        raise UserError(f"the file from {url} has the wrong checksum; try again, or {by_hand}") from error
    except OSError as error:
        raise UserError(f"cannot download {url} ({error}); {by_hand}") from error


def fetch_kaggle() -> Path:
    """Download paultimothymooney/chest-xray-pneumonia with kagglehub, or find it in its cache."""
    try:
        import kagglehub
    except ImportError as error:
        raise UserError("the source kaggle needs kagglehub; in the checkout, run: pip install '.[kaggle]'") from error
    try:
        folder = Path(kagglehub.dataset_download("paultimothymooney/chest-xray-pneumonia"))
    except Exception as error:  # kagglehub has no common base class for its errors
        raise UserError(
            f"cannot download from Kaggle ({error}); download it by hand and give the folder as SOURCE"
        ) from error
    nested = folder / "chest_xray" / "chest_xray"  # the archive holds everything twice; take one of them
    return nested if nested.is_dir() else folder
