"""The decoder of a checkpoint: what lies beside it to decode with, and weights that were tuned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.trainer import find_checkpoint
from src.utils.errors import UserError
from src.utils.files import read_object, sha256, write_json
from src.utils.published import companions_beside
from src.utils.registry import COMPANIONS

NAME = "decoder.json"
WEIGHTS = ("lm_weight", "bonus")
AUTO, FUSED = "src.decoders.Auto", "src.decoders.FusedBeam"
AUTO_WIDTH = 64  # prefixes: a word or two in a thousand better than 32, with a lexicon


def chosen_decoder(
    decoder: Mapping[str, Any], checkpoint: str | Path, state: Mapping[str, Any]
) -> dict[str, Any]:
    """The decoder's config, where what was left open is what came with the checkpoint.

    decoder=auto becomes beam_lm where a language model lies beside the checkpoint, and beam_lm
    that names no language model takes that one, with its lexicon. Weights left null are those that
    were tuned for the language model, or else those that the checkpoint was published with.

    Args:
        state: of the checkpoint; "decoder" holds what it was published with, if it was.

    Raises:
        UserError: keys for decoder=auto, which has none; or a file beside a published model is
            not there or altered.
    """
    complete = with_files(decoder, checkpoint)
    tuned = with_tuned(complete, checkpoint)
    came_with = complete.get("language_model") != decoder.get("language_model")
    return with_published(tuned, state) if came_with else tuned


def with_files(decoder: Mapping[str, Any], checkpoint: str | Path) -> dict[str, Any]:
    """The decoder's config with the language model and lexicon beside the checkpoint, where it
    wants them and names none."""
    decoder = dict(decoder)
    is_auto = decoder.get("_target_") == AUTO
    if is_auto and len(decoder) > 1:
        raise UserError(
            f"decoder.{[*decoder][1]}: decoder=auto has no keys; decoder=beam_lm takes the same "
            "files, and keys besides."
        )
    is_open = decoder.get("_target_") == FUSED and decoder.get("language_model") is None
    beside = files_beside(checkpoint) if is_auto or is_open else {}
    if "language_model" not in beside:
        return decoder
    if is_auto:
        decoder = {"_target_": FUSED, "beam_width": AUTO_WIDTH, **dict.fromkeys(WEIGHTS)}
    return decoder | {kind: file for kind, file in beside.items() if decoder.get(kind) is None}


def files_beside(checkpoint: str | Path) -> dict[str, str]:
    """The language model and the lexicon that a published checkpoint was given; of any other those
    of its name that lie beside it. {} where there are none."""
    path = find_checkpoint(checkpoint)
    listed, found = companions_beside(path), {}
    for kind, suffixes in COMPANIONS.items():
        files = [path.with_name(path.stem + suffix) for suffix in suffixes]
        wanted = files if listed is None else listed
        if there := [file for file in files if file in wanted and file.is_file()]:
            found[kind] = str(there[0])
    return found


def with_published(decoder: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """The decoder's config, where weights left null are those of a published checkpoint, if any."""
    settings = state.get("decoder")
    settings = settings if isinstance(settings, Mapping) else {}
    left = [key for key in WEIGHTS if key in decoder and decoder[key] is None]
    return dict(decoder) | {key: settings[key] for key in left if _is_number(settings.get(key))}


def tuned_file(checkpoint: str | Path) -> Path:
    """Where the weights for a checkpoint are kept: those of one run share a file.

    Published models, which may lie side by side, have one each.
    """
    path = find_checkpoint(checkpoint)
    is_published = path.suffix == ".safetensors"
    return path.with_name(f"{path.stem}.{NAME}") if is_published else path.with_name(NAME)


def save_tuned(
    checkpoint: str | Path,
    language_model: str | Path,
    found: dict[str, Any],
    rescorer: str | Path | None = None,
) -> Path:
    """Keep `found` (lm_weight, bonus, and how good they were) for these; returns the file.

    Weights for other language models, or for the same with another rescorer, stay.

    Raises:
        UserError: the folder can't be written.
    """
    path = tuned_file(checkpoint)
    known = _read(path)
    names = {"language_model": Path(language_model).name}
    names |= {"rescorer": Path(rescorer).name} if rescorer else {}
    known[_key(language_model, rescorer)] = names | found
    write_json(path, known)
    return path


def with_tuned(decoder: Mapping[str, Any], checkpoint: str | Path) -> dict[str, Any]:
    """The decoder's config, where weights left null are those that were tuned for it, if any."""
    decoder = dict(decoder)
    model = decoder.get("language_model")
    open_ = [key for key in WEIGHTS if key in decoder and decoder[key] is None]
    if not open_ or not isinstance(model, str) or not Path(model).is_file():
        return decoder
    known, rescorer = _read(tuned_file(checkpoint)), decoder.get("rescorer")
    if rescorer and not Path(rescorer).is_file():
        return decoder
    found = known.get(_key(model, rescorer), {}) if known else {}
    return decoder | {key: found[key] for key in open_ if _is_number(found.get(key))}


def _key(language_model: str | Path, rescorer: str | Path | None) -> str:
    """What tells language models from others."""
    return "+".join(sha256(file) for file in (language_model, rescorer) if file)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(path: Path) -> dict[str, Any]:
    """What is kept in `path`; nothing where it is not there or damaged."""
    known = read_object(path)
    return {key: value for key, value in known.items() if isinstance(value, dict)}
