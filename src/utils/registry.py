"""The list of published checkpoints, read strictly: its entries become files on people's disks."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from src.utils.connections import check_url
from src.utils.errors import UserError
from src.utils.plain_yaml import plain_yaml

# What a model may bring to decode with: files of its own name and one of these endings.
COMPANIONS = {
    "language_model": (".arpa.gz", ".arpa", ".lm"),
    "lexicon": (".lexicon.gz", ".lexicon"),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # never a path that leads elsewhere
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Companion:
    """A file that lies beside a model's, named as it is but for the ending."""

    size: int  # bytes
    sha256: str
    urls: list[str] = field(default_factory=list)  # where the model's own can be downloaded


@dataclass(frozen=True)
class PublishedModel:
    """One entry of the registry; the fields are its keys, those with a default optional."""

    description: str
    licence: str
    size: int  # bytes
    sha256: str
    urls: list[str] = field(default_factory=list)  # where it can be downloaded, or else …
    file: str | None = None  # … its name beside the registry
    task: str = ""  # what it reads, and into what
    figure: str = ""  # its first error rate, with its interval
    card: str | None = None  # file beside the registry that describes it
    companions: dict[str, Companion] = field(default_factory=dict)  # ending → file

    @property
    def all_bytes(self) -> int:
        """Size of all its files."""
        return self.size + sum(file.size for file in self.companions.values())

    @property
    def suffix(self) -> str:
        """Of the downloaded file: .safetensors where the first URL ends so, else .pt."""
        path = urlsplit(self.urls[0]).path
        return PurePosixPath(path).suffix if path.endswith(".safetensors") else ".pt"


@dataclass(frozen=True)
class Registry:
    models: dict[str, PublishedModel]
    default: str | None


def read_registry(path: str | Path) -> Registry:
    """Read a registry file; pretrained/registry.yaml describes the format.

    Raises:
        UserError: the file is absent or not YAML; a key is missing, unknown or of a wrong kind; a
            name or file could leave its folder; a URL can't be fetched; the default isn't listed.
    """
    path = Path(path)
    content = _load(path)
    _check_keys(content, {"default", "models"}, set(), f"{path}")
    listed = content["models"] or {}
    if not isinstance(listed, Mapping):
        raise UserError(f"{path}: 'models' must map names to models, found {listed!r}.")
    models = {str(name): _model(str(name), entry, path) for name, entry in listed.items()}
    if content["default"] not in (None, *models):
        raise UserError(
            f"{path}: the default {content['default']!r} is not among the models; name one of them "
            "or null."
        )
    return Registry(models, content["default"])


def _load(path: Path) -> Any:
    try:
        return plain_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: the registry can't be read ({error.strerror or error}); name another one "
            "with --registry FILE."
        ) from error
    # Beyond YAML's own errors: dates such as 2026-99-99, keys that are lists, a thousand brackets.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a YAML file ({error}); mend or restore it.") from error


def _check_keys(entry: Any, needed: set[str], optional: set[str], where: str) -> None:
    found = set(entry) if isinstance(entry, Mapping) else set()
    if missing := sorted(needed - found):
        raise UserError(f"{where}: {', '.join(missing)} missing; see the head of the file.")
    if unknown := sorted(map(str, found - needed - optional)):
        known = ", ".join(sorted(needed | optional))
        raise UserError(f"{where}: unknown key {', '.join(unknown)}; known are {known}.")


def _model(name: str, entry: Any, path: Path) -> PublishedModel:
    where = f"{path}: model {name}"
    if not NAME.fullmatch(name):
        raise UserError(
            f"{path}: {name!r} can't name a model; use letters, digits, '-', '_' and '.', and "
            "begin with a letter or digit."
        )
    _check_fields(PublishedModel, entry, where)
    companions = _companions(entry, where)
    model = PublishedModel(**{**entry, "companions": companions})
    for key in {"description", "licence", "task", "figure"} & set(entry):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise UserError(f"{where}: {key} is {entry[key]!r}, expected a line of text.")
    for key in {"file", "card"} & set(entry):
        if not isinstance(entry[key], str) or not NAME.fullmatch(entry[key]):
            raise UserError(
                f"{where}: {key} is {entry[key]!r}, expected a name of a file beside it."
            )
    _check_content(model, where)
    if ("urls" in entry) == ("file" in entry):
        raise UserError(f"{where}: expected either urls or file; see the head of the file.")
    if model.file is None:
        _check_urls(model.urls, where)
    return model


def _companions(entry: Mapping[str, Any], where: str) -> dict[str, Companion]:
    """The files beside a model; each can be fetched where the model's own is."""
    listed, endings = entry.get("companions", {}), [e for kind in COMPANIONS.values() for e in kind]
    if not isinstance(listed, Mapping) or not set(listed) <= set(endings):
        raise UserError(
            f"{where}: companions is {listed!r}, expected files by their endings, some of "
            f"{', '.join(endings)}."
        )
    found = {}
    for ending, node in listed.items():
        _check_fields(Companion, node, f"{where}, {ending}")
        found[ending] = Companion(**node)
        _check_content(found[ending], f"{where}, {ending}")
        if ("urls" in node) != ("urls" in entry):
            raise UserError(
                f"{where}, {ending}: expected urls where the model has some, and no others."
            )
        if "urls" in node:
            _check_urls(node["urls"], f"{where}, {ending}")
    return found


def _check_fields(kind: type, entry: Any, where: str) -> None:
    """Raise UserError unless `entry` has the fields of a dataclass and no other key."""
    keys = fields(kind)
    optional = {k.name for k in keys if (k.default, k.default_factory) != (MISSING, MISSING)}
    _check_keys(entry, {k.name for k in keys} - optional, optional, where)


def _check_content(file: PublishedModel | Companion, where: str) -> None:
    """Raise UserError unless size and checksum are such."""
    if type(file.size) is not int or file.size < 1:
        raise UserError(f"{where}: size is {file.size!r}, expected a number of bytes.")
    if not isinstance(file.sha256, str) or not _SHA256.fullmatch(file.sha256):
        raise UserError(
            f"{where}: sha256 is {file.sha256!r}, expected 64 hexadecimal digits, in quotes if "
            "all are decimal."
        )


def _check_urls(urls: Any, where: str) -> None:
    """Raise UserError unless these are URLs that can be fetched."""
    if not isinstance(urls, list) or not urls:
        raise UserError(f"{where}: urls is {urls!r}, expected a list with at least one URL.")
    try:
        for url in urls:
            check_url(str(url))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
