"""Values at the door: what is of the wrong kind is a UserError that names file, field, value and way out."""

import os
from pathlib import Path
from typing import Any

import pytest

from cxrgan.errors import UserError
from cxrgan.fields import Fields, is_name, parse_json, printable, read_bytes, read_json


def fields(**values: Any) -> Fields:
    return Fields(values, "here.json", "make it again")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 3),
        ("name", "../../x"),
        ("name", "/tmp/x"),
        ("name", "a\x1b[31mred"),
        ("name", ""),
        ("whole", True),
        ("whole", -1),
        ("whole", 1.0),
        ("whole", 10**30),
        ("number", "1"),
        ("number", float("nan")),
        ("number", 10**400),
        ("table", []),
        ("tables", {}),
        ("tables", [3]),
        ("names", ["a", "a"]),
        ("names", ["a", "b/c"]),
        ("counts", {"a": -1}),
        ("counts", {"../a": 1}),
    ],
)
def test_a_wrong_value_names_file_field_and_way_out(kind: str, value: Any) -> None:
    with pytest.raises(UserError, match=r"here\.json.*(x|a).*make it again"):
        found = getattr(fields(x=value), kind)("x")
        list(found)  # tables come one by one


def test_right_values_pass() -> None:
    table = fields(text="a\n", whole=3, number=2, names=["a", "b"], counts={"a": 2}, table={"x": 1}, tables=[{"x": 1}])
    assert table.text("text") == "a\n"
    assert table.whole("whole", 3, 3) == 3
    assert table.number("number") == 2.0
    assert table.names("names") == ["a", "b"]
    assert table.counts("counts") == {"a": 2}
    assert table.table("table").whole("x") == 1
    assert [each.whole("x") for each in table.tables("tables")] == [1]
    assert table.optional_text("none") is None
    assert table.optional_number("none") is None
    assert fields(x="b").one_of("x", ["a", "b"]) == "b"


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UserError, match="x is missing; make it again"):
        fields().text("x")


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": NaN}', '{"a": 1e999}', '{"a":' * 100_000, b"\xff\xfe{"])
def test_a_broken_json_file_is_one_clear_line(content: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"a\.json.*; mend it") as caught:
        read_json(file, mend="mend it")
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(UserError, match="no regular file"):
        read_json(tmp_path / "a.json", mend="remove it")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5, mend="") == b"12345"
    with pytest.raises(UserError, match="5 bytes, more than the 4"):
        read_bytes(tmp_path / "a", 4, mend="")


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[31mb\x07\r\u202ec\udcff") == "a\\x1b[31mb\\x07\\r\\u202ec\\udcff"
    assert printable("two\nlines\tand é") == "two\nlines\tand é"
    assert not any(is_name(name) for name in ("", ".", "..", "a/b", "a\\b", "a\nb", "a\x1b", "x" * 200))
    assert all(is_name(name) for name in ("NORMAL", "COVID-19", "no finding", "Émile", "a..b"))


def test_numbers_that_are_not_finite_are_no_json() -> None:
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="no number of JSON"):
        parse_json("[-Infinity]")
