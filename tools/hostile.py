"""Files and words made wrong, as their formats have it: what `tools.fuzz` gives to the commands."""

import csv
import dataclasses
import gzip
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from safetensors.numpy import load_file, save

from cxrgan.data.sources.dicom import TAGS
from cxrgan.generation.provenance import KEYWORD

ESCAPED = Path(tempfile.gettempdir()) / "cxrgan-fuzz-escaped"

VALUES: list[Any] = [
    *[None, True, False, 0, 1, -1, 2, 3, 1.5, -0.5, 1e308, -1e308, float("nan"), float("inf")],
    *[10**30, -(10**30), 10**400, 2**31, 2**63, -(2**63), 4 * 10**9],
    *["", "x", "32", "a" * 5000, "line\nline", "\x1b[31mred\x07", "\ud800", "[red]x", "<script>alert(1)</script>"],
    *["../../escaped", str(ESCAPED), "a/b", "..", "auto", "cuda", "bf16", "stable", "train", "phantom"],
    *[[], {}, [1], [None], ["a", 1], {"a": 1}, [[[[]]]], [{"a": 1}] * 3],
    *[{"../../escaped": 3, "b": 4}, {"\x1b[31m": 1}],
]
CONTENTS = [
    *[b"", b"\0", b"null", b"[]", b"{}", b"1", b'"x"', b"{", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"format": 1}'],
    *[b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, bytes(100_000), b"{} " * 1000, b"= = =", b"[a]\n" * 3],
    *[b"\x89PNG\r\n\x1a\n" + bytes(50), b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}"],
    *[b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}"],
]
TOKENS = [
    *["-1", "0", "1", "2", "3", "31", "33", "1.5", "-0.5", "nan", "inf", "-inf", "1e400", "1e-320", "1e308", "1e12"],
    *["", " ", "0x10", "1_0", "\u0663", "\u00bd", "--1", "None", "True", "\x1b[31m", "\udcff", "1000000000000"],
    *[
        "1" + "0" * 26,
        "-1" + "0" * 26,
        "4611686018427387904",
        "9223372036854775807",
        "-9223372036854775808",
        "9" * 5000,
    ],
]
WRONG_TOML = [
    *["nan", "-1", "0", "1e400", "'x'", "[]", "{a = 1}", "true", "10" * 50, "1979-05-27"],
    *["'\\u001b[31m'", '"\\u001b[31m"', "'../../escaped'"],
]
CELLS = [
    *TOKENS[:-1],
    *["a,b", '"', 'a "quoted" b', "|", "a|b|a", "/", "a/b", ".", "..", "CON", "../../escaped", str(ESCAPED), "=1+1"],
    *["-1.0", "yes", "LATERAL", "train", "valid", "holdout", "x" * 300, "NORMAL" * 1000, "<b>", "line\nline", "a\0b"],
    *["A/0.png", "B/1.png", "0.png", "0", "\\\\host\\0.png", "patient1/0.png", "No Finding", "\ufeff", "\u202eabc"],
]
"""What may stand in a table of labels, and be asked for as the name of a column."""
ELEMENTS = [
    *[
        b"",
        b"\\",
        b"\\" * 500,
        b"-1",
        b"0 ",
        b"1\\2",
        b"1e400 ",
        b"NaN ",
        b"9" * 5000,
        b"\xff\xfe\x1b[31m",
        b"YES ",
        b"NO",
    ],
    *[struct.pack("<H", value) for value in (0, 1, 2, 3, 7, 8, 12, 16, 32, 64, 255, 32768, 65535)],
    *[struct.pack("<HHH", *values) for values in ((0, 0, 0), (256, 0, 8), (65535, 65535, 16), (4, 0, 32))],
    *[b"MONOCHROME1 ", b"RGB ", b"YBR_FULL_422", b"PALETTE COLOR ", b"SIGMOID ", b"../../escaped ", b"ISO 2022 IR 87"],
    *[b"1.2.840.10008.5.1.4.1.1.1 ", b"1.2.840.10008.5.1.4.1.1.2 ", b"1.2.840.10008.1.3.10", bytes(4096)],
]
"""Values of DICOM, as they stand in the file."""
SYNTAXES = [b"1.2.840.10008.1.2.2\0", b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2\0\0\0", b"1.2.840.10008.9.9.9\0"]


@dataclass(frozen=True)
class Spoil:
    """One way to make a file wrong."""

    kind: str
    """What becomes of it; `spoil` knows the kinds."""
    place: int
    """Which byte, value, tensor or line, counted round and round."""
    value: int
    """Which of the hostile values, counted so too."""


def spoils() -> st.SearchStrategy[Spoil]:
    """All ways to make a file wrong; those that know its format come more often."""
    kinds = ["inside"] * 6 + ["content", "cut", "flip", "flip", "absent", "folder", "fifo", "loop", "sparse"]
    number = st.integers(0, 10**6)
    return st.builds(Spoil, st.sampled_from(kinds), number, number)


def tokens() -> st.SearchStrategy[str]:
    """What may stand where a number is meant."""
    return st.sampled_from(TOKENS) | st.integers(-5, 5).map(str) | st.floats().map(repr) | st.text(max_size=3)


def names() -> st.SearchStrategy[str]:
    """What may stand where the name of a column is meant."""
    return st.sampled_from([cell for cell in CELLS if not cell.startswith("-")]) | st.text(max_size=3)


def spoil(path: Path, how: Spoil) -> None:
    """Make one file wrong."""
    content = path.read_bytes()
    match how.kind:
        case "absent":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case "loop":
            path.unlink()
            path.symlink_to(path)
        case "sparse":
            os.truncate(path, 2**36)
        case "content":
            path.write_bytes(CONTENTS[how.value % len(CONTENTS)])
        case "cut":
            path.write_bytes(content[: how.place % len(content)])
        case "flip":
            wrong = bytearray(content)
            wrong[how.place % min(len(wrong), 4096)] ^= 1 << how.value % 8
            path.write_bytes(bytes(wrong))
        case "inside":
            path.write_bytes(_inside(path, content, how))


def _inside(path: Path, content: bytes, how: Spoil) -> bytes:
    """The content with one of its values made wrong, as its format has it."""
    match path.suffix:
        case ".json":
            return json.dumps(_with(json.loads(content), how)).encode()
        case ".jsonl":
            lines = content.decode().splitlines()
            line = how.place % len(lines)
            lines[line] = json.dumps(
                _with(json.loads(lines[line]), dataclasses.replace(how, place=how.place // len(lines)))
            )
            return ("\n".join(lines) + "\n").encode()
        case ".npy":
            return _npy(how)
        case ".safetensors":
            return _tensors(path, how)
        case ".png":
            return _told(path, how) if how.value % 2 and KEYWORD in _texts(path) else _picture(how)
        case ".csv":
            return _table(content, how)
        case ".gz":
            return gzip.compress(_table(gzip.decompress(content), how), mtime=0)
        case ".dcm":
            return _dicom(content, how)
        case ".npz":
            return _npz(content, how)
        case _:  # TOML
            lines = content.decode().splitlines()
            line = how.place % len(lines)
            name = lines[line].split("=")[0] if "=" in lines[line] else "wild "
            lines[line] = f"{name}= {WRONG_TOML[how.value % len(WRONG_TOML)]}"
            return "\n".join(lines).encode()


def _with(value: Any, how: Spoil) -> Any:
    """A value of JSON in which one place, at any depth, is hostile, or absent."""
    places: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        holder = pending.pop()
        keys = (
            list(holder) if isinstance(holder, dict) else range(min(len(holder), 3)) if isinstance(holder, list) else []
        )
        places += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys]
    if not places:
        return VALUES[how.value % len(VALUES)]
    holder, key = places[how.place % len(places)]
    if how.value % 10 == 0:
        del holder[key]
    else:
        holder[key] = VALUES[how.value % len(VALUES)]
    return value


def _npy(how: Spoil) -> bytes:
    arrays: list[np.ndarray[Any, Any]] = [
        *[
            np.zeros(shape, np.uint8)
            for shape in ((0,), (), (40,), (40, 32), (40, 32, 16), (3, 32, 32), (40, 32, 32, 3), (40, 0, 0))
        ],
        *[np.zeros((40, 32, 32), kind) for kind in ("f4", "i8", "?", "c8", "U3", "M8[s]", "V4")],
        np.zeros((40, 33, 33), np.uint8),
    ]
    stream = io.BytesIO()
    np.save(stream, arrays[how.value % len(arrays)])
    content = stream.getvalue()
    return content.replace(b"(40, 32, 32)", b"(1048576, 1048576,)"[:12]) if how.place % 5 == 0 else content


def _tensors(path: Path, how: Spoil) -> bytes:
    tensors = dict(load_file(path))
    name = list(tensors)[how.place % len(tensors)]
    tensor = tensors[name]
    wrong: list[Callable[[], Any]] = [
        lambda: np.atleast_1d(tensor)[..., :1],
        lambda: tensor.astype(np.float64),
        lambda: tensor.astype(np.int8),
        lambda: np.full_like(tensor, np.nan),
        lambda: np.full_like(tensor, np.inf),
        lambda: tensor.reshape(-1),
        lambda: np.zeros((0,), np.float32),
        lambda: np.zeros((3, 1, 2), np.float32),
        lambda: np.stack([tensor, tensor]),
    ]
    match how.value % (len(wrong) + 3):
        case 0:
            del tensors[name]
        case 1:
            tensors["more"] = tensor
        case 2:
            tensors["\x1b[31m999.exp_avg"] = tensors.pop(name)
        case other:
            tensors[name] = wrong[other - 3]()
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def _picture(how: Spoil) -> bytes:
    modes = ("L", "1", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK")
    sides = ((1, 1), (15, 15), (32, 32), (1, 5000), (5000, 1), (33, 31), (2000, 2000))
    picture = Image.new(modes[how.value % len(modes)], sides[how.place % len(sides)])
    stream = io.BytesIO()
    picture.save(stream, format="PNG" if picture.mode not in ("I", "F", "CMYK") else "TIFF")
    content = bytearray(stream.getvalue())
    if how.value % 3 == 0 and content.startswith(b"\x89PNG"):  # a header that claims more than there is
        content[16:24] = (13_000).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def _npz(content: bytes, how: Spoil) -> bytes:
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored}
    name = list(arrays)[how.place % len(arrays)]
    shapes: list[Any] = [
        np.zeros(shape, kind)
        for shape in ((), (0,), (4,), (4, 1), (4, 8, 8), (4, 0, 0), (4, 8, 8, 3))
        for kind in ("u1", "f4", "U2")
    ]
    if name == "origin" and how.value % 2:
        arrays[name] = np.array(json.dumps(_with(json.loads(str(arrays[name])), how)))
    else:
        arrays[name] = shapes[how.value % len(shapes)]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _texts(path: Path) -> dict[str, str]:
    """What a PNG says of itself."""
    with Image.open(path) as picture:
        return {str(name): str(text) for name, text in picture.info.items() if isinstance(text, str)}


def _told(path: Path, how: Spoil) -> bytes:
    """A generated PNG that says something else of itself."""
    texts = _texts(path)
    texts[KEYWORD] = json.dumps(_with(json.loads(texts[KEYWORD]), how))
    if how.place % 20 == 0:
        texts[KEYWORD] = "[" * 10**6
    info, stream = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text.encode(errors="replace").decode(), zip=how.place % 2 == 0)
    with Image.open(path) as picture:
        picture.save(stream, format="PNG", pnginfo=info)
    return stream.getvalue()


def _table(content: bytes, how: Spoil) -> bytes:
    """A table with another cell, line, header, separator or encoding."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    line, cell = how.place % len(rows), how.place // len(rows) % len(rows[0])
    wrong = CELLS[how.value % len(CELLS)]
    delimiter, encoding = ",", "utf-8"
    match how.value % 13:
        case 0:
            rows.append(rows[line])
        case 1:
            rows[line] = rows[line][:cell]
        case 2:
            rows[line] = [*rows[line], wrong]
        case 3:
            rows[0][cell] = wrong
        case 4:
            rows = rows[:1]
        case 5:
            delimiter = ";|\t "[how.place % 4]
        case 6:
            encoding = ("utf-16", "utf-8-sig", "utf-32", "cp1140")[how.place % 4]
        case _:
            rows[line][cell] = wrong
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, escapechar="\\").writerows(rows)
    return stream.getvalue().encode(encoding, errors="replace")


def _dicom(content: bytes, how: Spoil) -> bytes:
    """A DICOM file with another value of an element, one more element, or another transfer syntax."""
    if how.value % 8 == 0:
        return content.replace(b"1.2.840.10008.1.2.1\0", SYNTAXES[how.place % len(SYNTAXES)], 1)
    ds = dcmread(io.BytesIO(content))
    tags = [*(element.tag for element in ds), *(Tag(tag_for_keyword(name) or 0) for name in TAGS)]
    tag, value = tags[how.place % len(tags)], ELEMENTS[how.value % len(ELEMENTS)]
    kind = ds[tag].VR if tag in ds else dictionary_VR(tag)[:2]
    ds[tag] = RawDataElement(tag, kind, len(value), value, 0, False, True)
    stream = io.BytesIO()
    ds.save_as(stream)
    return stream.getvalue()
