"""Lists of recordings as JSONL, JSON, CSV or TSV: path and text, and what else is known.

| column | other names | what |
|---|---|---|
| path | audio_filepath, audio, file, wav | file, below the list's folder or absolute |
| text | sentence, transcript, transcription, words | what is said |
| id | | name of the utterance; else made of the path |
| speaker | speaker_id, client_id | |
| split | | train, validation (valid, val, dev) or test |
| start | start_s, offset | seconds into the file; without it the whole file is meant |
| duration | duration_s, audio_len | seconds |

A file of one JSON value may be an array of such lines, or an object of them by id; `{data_root}`
in a path, as in the indices of older projects, is the list's folder.
"""

import csv
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from src.datasets.corpora.listing import MALFORMED, Flaw, Row, flaw_of, numbered_table, open_list
from src.datasets.files import LISTS, safe_name, unique_ids
from src.datasets.rejections import LISTED_TWICE
from src.utils.errors import UserError
from src.utils.files import atomic_write

TABLES = (".csv", ".tsv")
PARTINGS = (",", ";", "\t")  # of columns; where a comma stands in numbers, it can't part them
NAMES = {
    "path": ("path", "audio_filepath", "audio", "file", "wav"),
    "text": ("text", "sentence", "transcript", "transcription", "words"),
    "id": ("id",),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "split": ("split",),
    "start": ("start", "start_s", "offset"),
    "duration": ("duration", "duration_s", "audio_len"),
}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", ""), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def manifest_rows(path: Path) -> Iterator[Row | Flaw]:
    """The rows of a list; what is wrong with a line never ends the run.

    Raises:
        UserError: no list, or one without names for path and text.
    """
    if path.suffix.lower() not in LISTS:
        raise UserError(
            f"{path}: not a list of recordings; expected a name that ends in {', '.join(LISTS)}."
        )
    found = [_row(path, *line) for line in _lines(path)]
    # One file may hold many utterances, but the same one only once.
    nameless = [item for item in found if isinstance(item, Row) and not item.id]
    names = iter(unique_ids(_name(path, row) for row in dict.fromkeys(map(_place, nameless))))
    given: dict[tuple, str] = {}
    for item in found:
        if isinstance(item, Flaw) or item.id:
            yield item
        elif _place(item) in given:
            yield flaw_of(item._replace(id=given[_place(item)]), LISTED_TWICE)
        else:
            given[_place(item)] = name = next(names)
            yield item._replace(id=name)


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSONL, atomically; `manifest_rows` reads them back as they were.

    Paths below the list's folder are written as such, so that both may move together.

    Raises:
        UserError: the folder can't be written or the disk is full.
    """
    home = path.resolve().parent
    with atomic_write(path, "w") as file:
        for row in rows:
            place = Path(row.path)
            place = place.relative_to(home) if place.is_relative_to(home) else place
            needed = {"id": row.id, "path": place.as_posix(), "text": row.text}
            known = {
                "speaker": row.speaker,
                "split": row.split,
                "start": row.start_s,
                "duration": row.duration_s,
            }
            known = {key: value for key, value in known.items() if value not in (None, "")}
            is_odd = not _is_utf8(row.path + row.speaker)
            line = json.dumps(needed | known, ensure_ascii=is_odd, allow_nan=False)
            file.write(line + "\n")


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | Flaw]]:
    """Name and content of each line."""
    read = {".csv": _csv, ".tsv": _tsv, ".json": _json}.get(path.suffix.lower(), _jsonl)
    for number, line in read(path):
        yield f"{path.name} line {number}", line


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with open_list(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    yield number, None


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    """An array of lines or an object of them by id, as one value; else a line after the other."""
    first = next(_jsonl(path), (1, None))[1]
    # A list of lines may be large: it is not read whole to find that it is no one value.
    whole = _whole(path) if first is None or _is_by_id(first) or isinstance(first, list) else None
    if _is_by_id(whole):
        whole = [{"id": name} | value for name, value in whole.items()]
    yield from enumerate(whole, 1) if isinstance(whole, list) else _jsonl(path)


def _whole(path: Path) -> Any:
    with open_list(path) as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError):
            return None


def _is_by_id(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(line, Mapping) for line in value.values())


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    with open_list(path, newline="") as file:
        first = file.readline()
        lines = itertools.chain([first], file)
        reader = csv.reader(lines, delimiter=_parting(first), skipinitialspace=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_names(path, names)
            for values in reader:
                # A quote that is never closed would swallow the lines after it.
                whole = len(values) == len(names) and not any("\n" in v for v in values)
                if any(map(str.strip, values)):
                    line = dict(zip(names, values, strict=True)) if whole else None
                    yield reader.line_num, line
        except csv.Error as error:
            raise UserError(
                f"{path}: line {reader.line_num} is no line of a CSV file ({error}); a quote may "
                "be left open. Correct it, or write the list as JSONL."
            ) from error


def _parting(first: str) -> str:
    """What parts the columns that the first line names."""

    def names(parting: str) -> set[str]:
        return {name.strip().strip('"') for name in first.split(parting)}

    whole = (p for p in PARTINGS if all(names(p) & set(NAMES[key]) for key in ("path", "text")))
    return next(whole, PARTINGS[0])


def _tsv(path: Path) -> Iterator[tuple[int, Any]]:
    with open_list(path) as file:
        _check_names(path, file.readline().rstrip("\n").split("\t"))
    yield from numbered_table(path, ())


def _check_names(path: Path, names: list[str]) -> None:
    for wanted in ("path", "text"):
        if not set(NAMES[wanted]) & set(names):
            raise UserError(
                f"{path}: its first line names no column {wanted} (it has {', '.join(names)[:200]})"
                f"; call one {' or '.join(NAMES[wanted])}."
            )


def _row(path: Path, told: str, line: Any) -> Row | Flaw:
    """What a line says; `told` names it."""
    if isinstance(line, Flaw):
        return line
    if not isinstance(line, Mapping):
        is_table = path.suffix.lower() in TABLES
        expected = "a value for each column" if is_table else "one {…} on each line"
        return Flaw(told, MALFORMED, f"{told} can't be taken apart; expected {expected}")
    values = {key: _value(line, names) for key, names in NAMES.items()}
    if not isinstance(values["path"], str) or not isinstance(values["text"], str):
        return Flaw(told, MALFORMED, f"{told} has no path, or no text")
    # Bytes of names that are not UTF-8 can be written back; half of an escaped pair can't.
    if not all(_is_utf8(str(values[key]), "surrogateescape") for key in ("path", "id", "speaker")):
        return Flaw(told, MALFORMED, f"{told} has half a character in its path, id or speaker")
    name = "" if values["id"] is None else str(values["id"])  # 0 is a name too
    split = SPLIT_NAMES.get(str(values["split"] or "").lower())
    if split is None:
        return Flaw(name or told, "of an unknown split", f"split={values['split']}")
    try:
        start_s, duration_s = _seconds(values["start"]), _seconds(values["duration"])
    except ValueError as error:
        return Flaw(name or told, "with a start or duration that is no time", str(error))
    speaker = "" if values["speaker"] is None else str(values["speaker"])
    known = values["split"] not in (None, "")
    place = values["path"].removeprefix("{data_root}/")
    if not Path(place).name:
        return Flaw(name or told, MALFORMED, f"{told} has a path that names no file")
    return Row(
        *(name, place, values["text"], speaker, split if known else ""),
        *(start_s, duration_s or None),
    )


def _value(line: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((line[name] for name in names if name in line), None)


def _seconds(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, OverflowError):  # of 400 digits, say
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds < 1e9:
        raise ValueError(f"{value} is no number of seconds")
    return seconds


def _place(row: Row) -> tuple[str, float | None]:
    return row.path, row.start_s


def _name(path: Path, place: tuple[str, float | None]) -> str:
    """Made of a recording's path below the list's folder, and where in it an utterance begins."""
    file, start_s = Path(place[0]), place[1]
    home = path.parent.resolve()
    if file.is_absolute():
        file = file.relative_to(home) if file.is_relative_to(home) else Path(file.name)
    name = safe_name(file.with_suffix("").as_posix())
    return name if start_s is None else f"{name}-{round(1000 * start_s):08}"


def _is_utf8(text: str, errors: str = "strict") -> bool:
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True
