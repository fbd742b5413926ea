"""A table in a CSV file, checked: every line has as many cells as the header, each column its own name."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.fields import read_bytes, shown

MAX_TABLE_BYTES = 2**28  # MIMIC's largest, unpacked, has 56 MB
DELIMITERS = ",;\t"
NAMED = 40  # columns in an error
MEND = "mend the table, or give another one"


@dataclass(frozen=True)
class Table:
    """The lines of a file."""

    file: Path
    columns: tuple[str, ...]
    lines: tuple[tuple[int, list[str]], ...]
    """The number of each line in the file, and its cells without the spaces around them."""

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The number of each line, and its cells by column."""
        for number, cells in self.lines:
            yield number, dict(zip(self.columns, cells, strict=True))

    def values(self, column: str) -> set[str]:
        """What stands in a column."""
        place = self.columns.index(column)
        return {cells[place] for _, cells in self.lines}

    def need(self, column: str, option: str) -> None:
        """UserError unless there is such a column."""
        if column not in self.columns:
            raise UserError(f"{self.file} has no column {shown(column)}; choose {option} from {listed(self.columns)}")


def read_table(file: Path) -> Table:
    """The table in a file: comma, semicolon or tab between the cells, gzipped if it is called .gz; UserError if bad."""
    lines = csv.reader(io.StringIO(text := _text(file), newline=""), delimiter=_delimiter(text), strict=True)
    try:
        header = [cell.strip() for cell in next(lines, [])]
        while header and not header[-1]:  # NIH's lines end in a comma
            header.pop()
        _check_header(file, header)
        rows = [(lines.line_num, _row(file, lines.line_num, cells, len(header))) for cells in lines if any(cells)]
    except csv.Error as error:
        raise UserError(f"{file}, line {lines.line_num}: {error}; {MEND}") from error
    return Table(file, tuple(header), tuple(rows))


def read_lines(file: Path) -> list[str]:
    """The lines of a text that are not empty, without the spaces around them."""
    return [line.strip() for line in _text(file).splitlines() if line.strip()]


def listed(names: tuple[str, ...]) -> str:
    """Names in an error, not too many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def _text(file: Path) -> str:
    try:
        content = read_bytes(file, MAX_TABLE_BYTES, mend=MEND)
    except FileNotFoundError:
        raise UserError(f"there is no table {file}; give the CSV file that has the labels") from None
    if file.suffix == ".gz":
        content = _unpacked(file, content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 (at byte {error.start:,}); save it as UTF-8") from error


def _unpacked(file: Path, content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            unpacked = packed.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot unpack {file}: {error}; {MEND}") from error
    if len(unpacked) > MAX_TABLE_BYTES:
        raise UserError(f"{file} unpacks to more than {MAX_TABLE_BYTES:,} bytes; {MEND}")
    return unpacked


def _delimiter(text: str) -> str:
    header = text[: text.find("\n") + 1 or None]
    return max(DELIMITERS, key=header.count)


def _check_header(file: Path, header: list[str]) -> None:
    if not header:
        raise UserError(f"{file} has no header, the line that names the columns; {MEND}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{file} has more than one column {shown(twice[0])}; {MEND}")


def _row(file: Path, number: int, cells: list[str], width: int) -> list[str]:
    """The cells of a line; what it has beyond the header must be empty."""
    if len(cells) < width or any(cells[width:]):
        raise UserError(f"{file}, line {number}: {len(cells)} cells, but the header has {width} columns; {MEND}")
    return [cell.strip() for cell in cells[:width]]
