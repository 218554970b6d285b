"""Fetch a published checkpoint, verify it, and say how to use it.

  python download_model.py                 the default model, or the list where there is none
  python download_model.py --list          what is published
  python download_model.py NAME            fetch one into data/models/
  python download_model.py NAME --out DIR

A model whose file lies beside the registry is only verified. The default one is then what
python inference.py reads with where no checkpoint= is given, and checkpoint=NAME names any.

An interrupted download goes on where it stopped when the same command runs again. The file
appears under its name only once its size and SHA-256 are right; a wrong one is deleted, and
the next mirror is tried. A model that is there already is only verified.

The registry is a YAML file; the head of pretrained/registry.yaml describes it. With
--registry FILE you can share models of your own, over https:// or as file:// on a common disk.

Exit status: 0 the model is there (or listed), 1 it is not, 130 interrupted.
"""

import argparse
import logging
import sys
from pathlib import Path

from src.utils.command_line import in_quotes
from src.utils.download import fetch
from src.utils.errors import UserError, nearest
from src.utils.published import DOWNLOADS, REGISTRY, check_files, companions_of, file_of
from src.utils.registry import Registry, read_registry
from src.utils.tables import table

TRAIN_INSTEAD = (
    "Train one yourself: `make quickstart` generates speech and trains a small one in minutes; "
    "python train.py -cn=convnet or -cn=deepspeech2 trains a large one on a real corpus."
)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        registry = read_registry(options.registry)
        name = options.name or registry.default
        if options.list or name is None:
            print(_listing(registry))
            return 0 if options.list else 1
        print(_download(registry, name, options))
        return 0
    except UserError as error:
        print(f"download_model.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="a model of the registry (default: its default)")
    add("--list", action="store_true", help="show the models of the registry and leave")
    add(
        "--registry",
        type=Path,
        default=REGISTRY,
        metavar="FILE",
        help="list of models with their URLs and checksums (default: pretrained/registry.yaml)",
    )
    add(
        "--out",
        type=Path,
        default=DOWNLOADS,
        metavar="DIR",
        help="folder for the checkpoint (default: %(default)s)",
    )
    return parser


def _listing(registry: Registry) -> str:
    if not registry.models:
        return f"No model is published yet. {TRAIN_INSTEAD}"
    rows = [
        (name, f"{m.all_bytes / 1e6:,.1f}", m.task, m.figure, m.licence, m.description)
        for name, m in registry.models.items()
    ]
    lines = [table(rows, ("name", "MB", "task", "error rate", "licence", "description")), ""]
    if registry.default:
        lines.append(f"python download_model.py fetches {registry.default}, the default;")
    lines.append("python download_model.py NAME fetches the one you name.")
    return "\n".join(lines)


def _download(registry: Registry, name: str, options: argparse.Namespace) -> str:
    """Fetch or verify a model; returns what to do with it."""
    if not registry.models:
        raise UserError(f"{name}: no model is published yet. {TRAIN_INSTEAD}")
    if name not in registry.models:
        hint = nearest(name, registry.models)
        raise UserError(f"{name}: no such model{hint} (--list describes them.)")
    model = registry.models[name]
    path = file_of(name, model, options.registry, options.out)
    files = {path: model, **companions_of(path, model)}
    if model.file is None:
        # The model last: it is of no use, or of less, before them.
        for place, file in reversed(files.items()):
            fetch(file.urls, place, sha256=file.sha256, size=file.size)
    else:
        check_files(files, name, model)
    lines = [f"{place}: {file.size:,} bytes, SHA-256 verified" for place, file in files.items()]
    lines[0] += f", licence {model.licence}"
    if model.card:
        lines.append(f"About it: {options.registry.parent / model.card}")
    use = f"python inference.py {in_quotes('checkpoint', str(path))} input=RECORDING_OR_FOLDER"
    return "\n".join([*lines, f"Use it: {use}"])


if __name__ == "__main__":
    sys.exit(main())
