"""Hugging Face: a packed generator from a repository, `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, and to one."""

import contextlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from cxrgan import __version__
from cxrgan.errors import UserError
from cxrgan.fields import MAX_JSON_BYTES, printable
from cxrgan.generation.packed import CARD, WEIGHTS

MOST_BYTES = {CARD: MAX_JSON_BYTES, WEIGHTS: 2**30}
"""Of the files that are fetched."""
REPO = r"[\w.-]+/[\w.-]+"


def is_on_hub(run: str | Path) -> bool:
    """Whether `run` names a repository. One slash will do: a Path has no two in a row."""
    return Path(run).as_posix().startswith("hf:/")


def download(run: str | Path) -> Path:
    """The folder in the user's cache with the packed generator of a repository; what is there is not fetched again.

    UserError when there is none, it cannot be had, or its files are too large.
    """
    require_hub()
    import huggingface_hub

    named = re.fullmatch(rf"hf:/+({REPO})(?:@([\w./-]+))?", Path(run).as_posix())
    if not named:
        raise UserError(f"{run} names no repository; it is hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    repo, revision = named.groups()
    names = list(MOST_BYTES)
    with _explained(repo):
        if not huggingface_hub.is_offline_mode():
            found = huggingface_hub.HfApi().model_info(repo, revision=revision, files_metadata=True)
            _check_files(repo, {file.rfilename: file.size for file in found.siblings or ()})
        return Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=names))


def _check_files(repo: str, sizes: dict[str, int | None]) -> None:
    for name, most in MOST_BYTES.items():
        if name not in sizes:
            raise UserError(f"the repository {repo} holds no generator of cxrgan: it lacks {name}")
        size = sizes[name]
        if size is None or size > most:
            known = "an unknown number of" if size is None else f"{size:,}"
            raise UserError(f"{name} of {repo} has {known} bytes, and no more than {most:,} are fetched")


def upload(folder: Path, repo: str, *, public: bool) -> str:
    """Push the files of a folder to a repository, which is made, private unless `public`, where there is none.

    Returns its address. UserError where that is refused, or the repository is public and `public` was not asked for.
    """
    require_hub()
    from huggingface_hub import HfApi

    with _explained(repo):
        hub = HfApi(library_name="cxrgan", library_version=__version__)
        address = hub.create_repo(repo, private=not public, exist_ok=True)
        if not public and not hub.model_info(repo).private:
            raise UserError(f"the repository {repo} is public; push to it with --public, or name another")
        hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"Pushed by cxrgan {__version__}")
    return str(address)


def check_repo(repo: str) -> None:
    """UserError unless it is OWNER/NAME."""
    if not re.fullmatch(REPO, repo):
        raise UserError(f"--repo is {repo!r}, but must be OWNER/NAME on Hugging Face")


def require_hub() -> None:
    """UserError where huggingface_hub is not installed."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise UserError("huggingface_hub is not installed: in the checkout, pip install '.[hf]'") from None


@contextlib.contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Whatever the library raises, of several kinds, is about the repository, the login or the network: one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = textwrap.shorten(printable(str(error)), 160, placeholder=" ...") or type(error).__name__
        raise UserError(
            f"Hugging Face, {repo}: {said}; see that the name is right, that you are logged in (`hf auth login`) where "
            "it is private, and that there is a network; HF_HUB_OFFLINE=1 takes what was fetched before"
        ) from error
