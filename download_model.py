"""Fetch a published checkpoint, verify it, and say how to use it.

  python download_model.py                 the default model, or the list where there is none
  python download_model.py --list          what is published
  python download_model.py NAME            fetch one into data/models/NAME.pt
  python download_model.py NAME --out DIR

An interrupted download goes on where it stopped when the same command runs again. The file
appears under its name only once its size and SHA-256 are right; a wrong one is deleted, and
the next mirror is tried. A model that is there already is only verified.

The registry is a YAML file; the head of pretrained/registry.yaml describes it. With
--registry FILE you can share models of your own, over https:// or as file:// on a common disk.

Exit status: 0 the model is there (or listed), 1 it is not, 130 interrupted.
"""

import argparse
import difflib
import logging
import shlex
import sys
from pathlib import Path

from src.utils.download import fetch
from src.utils.errors import UserError
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
        print(_download(registry, name, options.out))
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
        default=Path(__file__).parent / "pretrained" / "registry.yaml",
        metavar="FILE",
        help="list of models with their URLs and checksums (default: pretrained/registry.yaml)",
    )
    add(
        "--out",
        type=Path,
        default=Path("data/models"),
        metavar="DIR",
        help="folder for the checkpoint (default: %(default)s)",
    )
    return parser


def _listing(registry: Registry) -> str:
    if not registry.models:
        return f"No model is published yet. {TRAIN_INSTEAD}"
    rows = [
        (name, f"{model.size / 1e6:,.1f}", model.licence, model.description)
        for name, model in registry.models.items()
    ]
    lines = [table(rows, ("name", "MB", "licence", "description")), ""]
    if registry.default:
        lines.append(f"python download_model.py fetches {registry.default}, the default;")
    lines.append("python download_model.py NAME fetches the one you name.")
    return "\n".join(lines)


def _download(registry: Registry, name: str, folder: Path) -> str:
    """Fetch a model; returns what to do with it."""
    if name not in registry.models:
        raise UserError(_unknown(registry, name))
    model = registry.models[name]
    path = fetch(model.urls, folder / f"{name}.pt", sha256=model.sha256, size=model.size)
    return (
        f"{path}: {model.size:,} bytes, SHA-256 verified, licence {model.licence}\n"
        f"Use it: python inference.py checkpoint={shlex.quote(str(path))} input=RECORDING_OR_FOLDER"
    )


def _unknown(registry: Registry, name: str) -> str:
    if not registry.models:
        return f"{name}: no model is published yet. {TRAIN_INSTEAD}"
    close = difflib.get_close_matches(name, registry.models, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(registry.models)}."
    return f"{name}: no such model; {hint} (--list describes them.)"


if __name__ == "__main__":
    sys.exit(main())
