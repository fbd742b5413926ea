"""A table of labels over a folder: which class, patient and split each file has."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from cxrgan.console import warn
from cxrgan.data.sources.layouts import LATERAL, Beside, Layout, beside, layout_of
from cxrgan.data.sources.matching import Finder
from cxrgan.data.sources.record import Record, Rejected
from cxrgan.data.sources.table import MEND, Table, listed, read_table
from cxrgan.errors import UserError
from cxrgan.fields import is_name, shown

SEPARATOR = "|"  # between the findings of an image, in a cell and in the name of a class
NOTHING = "No Finding"
MOST_CLASSES = 20  # that are kept of all combinations
MOST_VALUES = 200  # in a column of classes; what has more is no class, but a number or a name
NUM_SHOWN = 3
FLAGS = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0, "": 0, "-1": -1, "-1.0": -1}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class LabelTable:
    """Where the labels of a folder stand. What is left out is as the layouts of `layouts` have it."""

    files: tuple[Path, ...]
    """CSV files of one kind, such as CheXpert's train.csv and valid.csv."""
    image_column: str | None = None
    """Path of an image, or its name, or that without suffix."""
    label_columns: tuple[str, ...] = ()
    """A column that names the class; or one finding, which makes two classes, with it and without; or several, of which
    each combination is a class. A finding is a column of 1, 0, -1 (uncertain) or nothing, or a word in a list. A text
    that is no column may name several, with commas between them."""
    patient_column: str | None = None
    split_column: str | None = None


@dataclass(frozen=True)
class Question:
    """What is asked of each row: which of the chosen findings it has."""

    flags: tuple[str, ...]
    """Columns that say whether a finding is there."""
    texts: tuple[str, ...]
    """Columns that name findings."""
    words: frozenset[str]
    """Findings to look for in the column `listing`."""
    listing: str | None
    called: Mapping[str, str]

    @property
    def single(self) -> str | None:
        """The one finding whose presence and absence are the classes."""
        names = [*(self.called.get(flag, flag) for flag in self.flags), *self.words]
        return _class_name(names[0]) if len(names) == 1 and not self.texts else None

    def answer(self, row: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
        """The findings that are there, and those of which the row is not sure."""
        states = {_class_name(self.called.get(flag, flag)): FLAGS[row[flag].lower()] for flag in self.flags}
        named = frozenset(word for column in self.texts for word in _words(row[column]))
        sought = self.words & _words(row[self.listing]) if self.listing else frozenset()
        there = frozenset(name for name, state in states.items() if state == 1)
        return there | named | sought, frozenset(name for name, state in states.items() if state == -1)


@dataclass(frozen=True)
class Row:
    """What a line says of an image, or of each image of a study."""

    image: str
    there: frozenset[str]
    unsure: frozenset[str]
    patient: str | None
    split: str | None
    reader: str
    is_lateral: bool
    where: str
    """File and line."""


@dataclass(frozen=True)
class Labels:
    """Tables that have been read, ready to be laid over a folder."""

    tables: tuple[Table, ...]
    layout: Layout
    beside: Beside
    question: Question
    rows: tuple[Row, ...]
    has_splits: bool
    """Whether the tables make splits; what is all training is split anew."""

    @property
    def name(self) -> str:
        """The tables, for people."""
        return ", ".join(table.file.name for table in self.tables)

    @property
    def files(self) -> set[Path]:
        """The tables and what was read beside them: no images, though they may lie in the folder."""
        return {file.resolve() for file in (*(table.file for table in self.tables), *self.beside.files)}

    def join(self, records: Sequence[Record]) -> tuple[list[Record], list[Rejected]]:
        """The records that have a row, with its label, patient and split; and what lacks a row, a file or a label.

        The order of the rows does not matter. Patient and split stay the record's where the tables have none.
        """
        of_record, fileless, ambiguous = self._matched(records)
        known = of_record.keys() | ambiguous
        rowless = [record.origin for place, record in enumerate(records) if place not in known]
        _tell(f"rows of {self.name} without a file", sorted(fileless))
        _tell(f"files without a row in {self.name}", sorted(rowless))
        rejected = [Rejected(name, f"a row of {self.name} without a file") for name in sorted(fileless)]
        rejected += [Rejected(origin, f"no row in {self.name}") for origin in rowless]
        rejected += [
            Rejected(records[place].origin, f"a row of {self.name} fits other files as well; give their paths")
            for place in sorted(ambiguous)
        ]
        joined = []
        for place, rows in sorted(of_record.items()):
            try:
                joined.append(self._labelled(records[place], rows))
            except SetAside as reason:
                rejected.append(Rejected(records[place].origin, str(reason)))
        kept, rare = self._without_rare(joined)
        return kept, rejected + rare

    def _matched(self, records: Sequence[Record]) -> tuple[dict[int, list[Row]], set[str], set[int]]:
        """Place of a record -> its rows; rows without a file; places of records whose row fits others too."""
        paths = [tuple(record.origin.split("/")) for record in records]
        finder = Finder([path[:-1] for path in paths] if self.layout.is_study else paths)
        of_record: dict[int, list[Row]] = defaultdict(list)
        fileless, ambiguous = set(), set()
        for row in self.rows:
            places = finder.find(row.image)
            if not places:
                fileless.add(row.image)
            elif len(places) > 1 and not self.layout.is_study:
                ambiguous.update(places)
            else:
                for place in places:
                    of_record[place].append(row)
        return {place: rows for place, rows in of_record.items() if place not in ambiguous}, fileless, ambiguous

    def _labelled(self, record: Record, rows: list[Row]) -> Record:
        stem = Path(record.origin).stem
        if any(row.is_lateral for row in rows) or self.beside.views.get(stem, "").upper() in LATERAL:
            raise SetAside("a lateral view")
        _check_agreement(rows, lambda row: row.patient, "patients")
        _check_agreement(rows, lambda row: row.split, "splits")
        split = record.split
        if self.has_splits:
            split = rows[0].split or _split(self.beside.splits.get(stem, ""), f"beside {self.name}")
            if split is None:
                raise SetAside(f"no split for it in or beside {self.name}")
        elif self.layout.split_in_path:
            split = None  # the folder `train` alone makes no split
        label = self._label(rows)
        for finding in label.split(SEPARATOR):
            if not is_name(finding):
                raise UserError(f"{rows[0].where}: the label {shown(finding)} cannot be the name of a class; {MEND}")
        if not is_name(label):
            raise SetAside("more findings than the name of a class can hold")
        return replace(record, label=label, patient=rows[0].patient or record.patient, split=split)

    def _label(self, rows: list[Row]) -> str:
        there, unsure = self._findings(rows)
        if unsure:
            raise SetAside(f"uncertain: {', '.join(sorted(unsure))}")
        if single := self.question.single:
            return single if single in there else f"no {single}"
        if there:
            return SEPARATOR.join(sorted(there))
        if self.question.texts:
            raise SetAside("no label" if not self.layout.reader else "no finding that most of its readers share")
        return NOTHING

    def _findings(self, rows: list[Row]) -> tuple[frozenset[str], frozenset[str]]:
        """What is there and what is uncertain: the rows of a reader add up or agree, and most readers decide."""
        by_reader: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_reader[row.reader].append(row)
        if not self.layout.has_many_rows:
            _check_agreement(rows, lambda row: (row.there, row.unsure), "labels")
        seen = [frozenset().union(*(row.there for row in own)) for own in by_reader.values()]
        votes = Counter(finding for findings in seen for finding in findings)
        there = frozenset(finding for finding, count in votes.items() if 2 * count > len(seen))
        return there, frozenset().union(*(row.unsure for row in rows)) - there

    def _without_rare(self, records: list[Record]) -> tuple[list[Record], list[Rejected]]:
        """The records of the most common labels, and the others set aside."""
        counts = Counter(record.label or "" for record in records)
        ranked = sorted(counts, key=lambda label: (-counts[label], label))
        if len(ranked) <= MOST_CLASSES:
            return records, []
        kept, rare = set(ranked[:MOST_CLASSES]), ranked[MOST_CLASSES:]
        num = sum(counts[label] for label in rare)
        _tell(
            f"labels left out with their {num:,} images, since only the {MOST_CLASSES} most common are kept "
            "(choose findings with --label-column)",
            [f"{label} ({counts[label]})" for label in rare],
        )
        return [record for record in records if record.label in kept], [
            Rejected(record.origin, f"{record.label} is not among the {MOST_CLASSES} most common labels")
            for record in records
            if record.label not in kept
        ]


class SetAside(Exception):
    """Why an image has no label."""


def read_labels(asked: LabelTable) -> Labels:
    """Read the tables; UserError where one cannot be read, lacks a column, or says what cannot be."""
    tables = tuple(read_table(file.expanduser()) for file in asked.files)
    layout = _layout(tables, asked)
    question = _question(tables, layout, asked.label_columns)
    near = beside(tables[0], layout)
    rows = tuple(row for table in tables for row in _rows(table, layout, question, asked.split_column))
    has_splits = bool(near.splits or asked.split_column) or len({row.split for row in rows}) > 1
    return Labels(tables, layout, near, question, rows, has_splits)


def _layout(tables: Sequence[Table], asked: LabelTable) -> Layout:
    """The known layout of the tables, with the columns that were named in place of its own."""
    layout = layout_of(tables[0])
    if any(layout_of(table) is not layout for table in tables):
        raise UserError(
            f"{', '.join(str(table.file) for table in tables)} are tables of different kinds; give one kind"
        )
    if layout is None and not (asked.image_column and asked.label_columns):
        raise UserError(
            f"{tables[0].file} has no layout that is known by name; choose --image-column and --label-column from "
            f"{listed(tables[0].columns)}"
        )
    if asked.image_column:
        layout = replace(layout or Layout("", frozenset(), str), image=itemgetter(asked.image_column), is_study=False)
    assert layout is not None
    layout = replace(layout, patient=asked.patient_column or layout.patient)
    named = {
        "--image-column": asked.image_column,
        "--patient-column": layout.patient,
        "--split-column": asked.split_column,
    }
    for table in tables:
        for option, column in named.items():
            if column is not None:
                table.need(column, option)
    return layout


def _question(tables: Sequence[Table], layout: Layout, chosen: tuple[str, ...]) -> Question:
    """How the chosen columns, or findings, are read: by all that stands in them."""
    chosen = tuple(name for text in chosen for name in _chosen(text, tables))
    if not chosen and layout.label is None:
        raise UserError(
            f"{tables[0].file} ({layout.name}) has a column for each finding: choose one or several with "
            f"--label-column, from {listed(tables[0].columns)}"
        )
    columns = chosen or (str(layout.label),)
    found = {column: _values(tables, column) for column in columns if all(column in table.columns for table in tables)}
    flags = tuple(column for column, values in found.items() if values <= FLAGS.keys() and values != {""})
    texts = tuple(column for column in found if column not in flags)
    for column in texts:
        if len(found[column]) > MOST_VALUES and column != layout.label:
            raise UserError(
                f"{tables[0].file}: the column {shown(column)} has {len(found[column]):,} different values, more than "
                f"{MOST_VALUES}; choose --label-column from {listed(tables[0].columns)}"
            )
    words = frozenset(_class_name(column) for column in columns if column not in found)
    if words:
        _check_words(tables, layout, words)
    return Question(flags, texts, words, layout.label if words else None, layout.called)


def _chosen(text: str, tables: Sequence[Table]) -> list[str]:
    """The columns or findings that a text names: itself where it is a column, else those between its commas."""
    if all(text in table.columns for table in tables):
        return [text]
    return [name for part in text.split(",") if (name := part.strip())]


def _values(tables: Sequence[Table], column: str) -> set[str]:
    return {value.lower() for table in tables for value in table.values(column)}


def _check_words(tables: Sequence[Table], layout: Layout, words: frozenset[str]) -> None:
    """UserError unless these findings occur in the list of a known layout."""
    for table in tables:
        if layout.label is None or layout.label not in table.columns:
            table.need(min(words), "--label-column")
    known = {word for table in tables for value in table.values(str(layout.label)) for word in _words(value)}
    missing = sorted(words - known)
    if missing:
        raise UserError(
            f"{tables[0].file} has neither a column nor a finding {shown(missing[0])}; its findings are "
            f"{listed(tuple(sorted(known)))}"
        )


def _rows(table: Table, layout: Layout, question: Question, split_column: str | None) -> Iterator[Row]:
    for number, cells in table.rows():
        image = layout.image(cells)
        there, unsure = question.answer(cells)
        where = f"{table.file}, line {number}"
        named = layout.patient_in_path.search(image) if layout.patient_in_path else None
        patient = cells[layout.patient] if layout.patient else named[0] if named else ""
        split = _split(cells[split_column], where) if split_column else _split_in_path(image, layout)
        reader = cells.get(layout.reader, "") if layout.reader else ""
        is_lateral = bool(layout.view) and cells[str(layout.view)].upper() in LATERAL
        yield Row(image, there, unsure, patient or None, split, reader, is_lateral, where)


def _split(text: str, where: str) -> str | None:
    if text and text.lower() not in SPLIT_NAMES:
        raise UserError(f"{where}: the split is {shown(text)}, but must be one of {', '.join(SPLIT_NAMES)}; {MEND}")
    return SPLIT_NAMES[text.lower()] if text else None


def _split_in_path(image: str, layout: Layout) -> str | None:
    return next((layout.split_in_path[part] for part in image.split("/") if part in layout.split_in_path), None)


def _check_agreement(rows: list[Row], of: Callable[[Row], object], what: str) -> None:
    """UserError where rows of one image say different things."""
    first = rows[0]
    other = next((row for row in rows if of(row) != of(first)), None)
    if other is not None:
        one, two = sorted((first.where, other.where))
        raise UserError(f"{one} and {two} have different {what} for the image {shown(first.image)}; {MEND}")


def _words(cell: str) -> frozenset[str]:
    """The findings that a cell lists."""
    return frozenset(name for word in cell.split(SEPARATOR) if (name := _class_name(word)))


def _class_name(text: str) -> str:
    """A finding as the name of a class, and so of a folder: `Nodule/Mass` is Nodule-Mass."""
    return text.strip().replace("/", "-")


def _tell(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - NUM_SHOWN:,} more" if len(names) > NUM_SHOWN else ""
        warn(f"{what}: {len(names):,} ({', '.join(names[:NUM_SHOWN])}{more})")
