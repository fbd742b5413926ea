"""What a dataset folder calls the patients and files of a private source: a keyed hash, and nothing else of them.

PatientIDs are few and guessable, so a hash that anyone can compute hides nothing. The key lies in the user's own
configuration, never in a dataset folder: the same patients keep their names and their split in each dataset that is
made with it, and nobody without it can try identifiers out.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from cxrgan.console import note
from cxrgan.data.sources.record import Record
from cxrgan.errors import RunError, UserError
from cxrgan.fields import read_bytes
from cxrgan.files import trouble

KEY_BYTES = 32
LEAST_KEY = 16  # bytes of a key that a user made
MOST_KEY = 4096
SHOWN_DIGITS = 20  # 80 bits: of a million files no two get the same


@dataclass(frozen=True)
class Pseudonyms:
    """Hides who and what is in a private source."""

    key: bytes

    def patient(self, name: str) -> str:
        """What a patient is called."""
        return f"patient-{self._digits('patient', name)}"

    def origin(self, path: str) -> str:
        """What a file or a row of a table is called."""
        return f"file-{self._digits('file', path)}"

    def record(self, record: Record) -> Record:
        """The same image, of a patient and a file that are hidden."""
        patient = None if record.patient is None else self.patient(record.patient)
        return replace(record, patient=patient, origin=self.origin(record.origin))

    def _digits(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode(errors="surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:SHOWN_DIGITS]


def default_key_file() -> Path:
    """Where the key lies unless told otherwise."""
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configuration) / "cxrgan" / "patients.key"


def read_pseudonyms(file: Path | None, out: Path) -> Pseudonyms:
    """The pseudonyms of the key in `file`, or in the default one; a key is made where there is none yet.

    `out` is the dataset folder that is about to be made: a key in it would be shared with it, and is a UserError.
    """
    file = (file or default_key_file()).expanduser().absolute()
    if file.resolve().is_relative_to(out.resolve()):
        raise UserError(f"the key {file} would lie in the dataset folder; name a file elsewhere with --patient-key")
    if not os.path.lexists(file):
        _make_key(file)
        note(f"made {file}, the key to the names of patients in datasets from DICOM; keep it, and keep it to yourself")
    key = read_bytes(file, MOST_KEY, mend="name another file with --patient-key").strip()
    if len(key) < LEAST_KEY:
        raise UserError(
            f"the key {file} has {len(key)} bytes, but needs {LEAST_KEY}; name another file with --patient-key"
        )
    return Pseudonyms(key)


def _make_key(file: Path) -> None:
    """Write a key that only its owner can read."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(KEY_BYTES) + "\n")
    except OSError as error:
        raise RunError(f"cannot write the key {trouble(error)} with --patient-key") from error
