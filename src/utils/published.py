"""Published models on this disk: from a name in the registry to a verified file."""

import logging
from collections.abc import Mapping
from pathlib import Path

from src.utils.download import Wanted
from src.utils.errors import UserError
from src.utils.registry import NAME, Companion, PublishedModel, read_registry

REGISTRY = Path(__file__).resolve().parents[2] / "pretrained" / "registry.yaml"
DOWNLOADS = Path("data/models")  # below the folder where commands are run

_log = logging.getLogger(__name__)


def file_of(name: str, model: PublishedModel, registry: Path, downloads: Path = DOWNLOADS) -> Path:
    """Where a model's file lies, or will once it is downloaded.

    Args:
        registry: the file that lists the model.
        downloads: folder for what comes from a URL.
    """
    if model.file is not None:
        return registry.parent / model.file
    return downloads / f"{name}{model.suffix}"


def companions_of(path: Path, model: PublishedModel) -> dict[Path, Companion]:
    """What lies beside `path`, a model's own file."""
    return {path.with_name(path.stem + end): file for end, file in model.companions.items()}


def check_files(
    files: Mapping[Path, PublishedModel | Companion], name: str, model: PublishedModel
) -> None:
    """Raise UserError unless some files of a model are there and those that were published."""
    mend = f"`python download_model.py {name}` fetches it."
    if model.file is not None:
        mend = "it came with the repository: take it from there again."
    for place, file in files.items():
        what = "the published model" if file is model else "the companion of the published model"
        if not place.is_file():
            raise UserError(f"{place}: {what} {name} is not there; {mend}")
        if fault := Wanted("sha256", file.sha256.lower(), file.size).fault(place):
            raise UserError(f"{place}: not {what} {name}: {fault}; {mend}")


def published_file(name: str) -> Path | None:
    """The verified file of a model of our registry; None where that lists no such name.

    Raises:
        UserError: the file is not there, or another than was published.
    """
    if not NAME.fullmatch(name):
        return None
    model = read_registry(REGISTRY).models.get(name)
    if model is None:
        return None
    path = file_of(name, model, REGISTRY)
    check_files({path: model}, name, model)
    return path


def companions_beside(path: Path) -> list[Path] | None:
    """The verified companions of a model of our registry, by its own file; None for any other file.

    Raises:
        UserError: one is not there, or another than was published.
    """
    try:
        models = read_registry(REGISTRY).models
    except UserError:
        return None  # whoever names a path needs no registry
    for name, model in models.items():
        own = file_of(name, model, REGISTRY)
        if own.absolute() == path.absolute():
            beside = companions_of(path, model)
            check_files(beside, name, model)
            return list(beside)
    return None


def default_name() -> str:
    """The model that is taken where none is named.

    Raises:
        UserError: there is none, or its file is not there.
    """
    registry = read_registry(REGISTRY)
    name = registry.default
    if name is None:
        raise UserError(
            "No checkpoint given. Name one with checkpoint=FILE_OR_RUN_FOLDER; to get one, train "
            "it (a small one: `make quickstart`) or fetch it (`python download_model.py --list`)."
        )
    path = file_of(name, registry.models[name], REGISTRY)
    if not path.is_file():
        raise UserError(
            f"No checkpoint given, and the default one, {name}, is not at {path}: "
            "`python download_model.py` fetches it."
        )
    return name


def tell_namesake(name: str) -> None:
    """Warn where a path that is read hides a published model of the same name."""
    if not NAME.fullmatch(name):
        return
    try:
        model = read_registry(REGISTRY).models.get(name)
    except UserError:
        return  # whoever names a path needs no registry
    if model is not None:
        _log.warning(
            "%s is a path here and a published model too; the path is read. The model's own file "
            "is %s.",
            *(name, file_of(name, model, REGISTRY)),
        )
