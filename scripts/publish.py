"""A training checkpoint as a small file that anybody can use at once, with its card."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.publishing.card import Facts, card, measured, read_figures
from scripts.publishing.companions import Companions, earlier_files, entries
from scripts.publishing.comparison import Difference, compare, told, utterances
from scripts.publishing.entries import write_entry
from scripts.publishing.golden import clips_of, write_golden
from scripts.publishing.runs import Run, read_run
from src.build.inference import load_recognizer, rebuilt
from src.trainer import find_checkpoint
from src.trainer.weights_file import SUFFIX, from_published, to_published
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write, sha256
from src.utils.interrupts import ctrl_c_ends
from src.utils.registry import NAME

HELP = """\
Optimizer and progress are left behind; matrices and kernels become float16:

  python -m scripts.publish saved/convnet/2026-01-31_12-00-00 --name commands
  python -m scripts.publish saved/whisper/RUN --name reader --input recordings/ \\
      --predictions saved/predict/test-clean --default

Real speech is read before and after, and what half precision changes is told: --input, or the
run's validation utterances. pretrained/ then has NAME.safetensors, its card NAME.md and its entry
in registry.yaml, and every command takes checkpoint=NAME. Copies of a language model and a lexicon,
if given, lie beside them, and inference.py reads with those. --golden tests/golden also keeps what
the model says of the clips there, for tests/test_golden.py."""
FLOAT16 = "float16 matrices, float32 vectors"


@ctrl_c_ends("publish", "what is written is whole; run it again to finish")
def main(words: Sequence[str] | None = None) -> None:
    """Strip, compare, write, tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        print(publish(options))
    except UserError as error:
        sys.exit(f"publish: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.publish",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", help="a .pt file, or a run folder whose best one is taken")
    add("--name", required=True, help="of the published model: letters, digits, - _ .")
    add("--out", type=Path, default=Path("pretrained"), help="folder (default: %(default)s)")
    add("--input", help="recordings to compare on: file, folder or glob; otherwise the run's "
        "validation utterances")  # fmt: skip
    add("--n_compared", type=whole_number(1), default=100, metavar="N",
        help="as many of them, spread evenly (%(default)s)")  # fmt: skip
    add("--precision", choices=("float16", "float32"), default="float16", help="(%(default)s)")
    add("--predictions", type=Path, nargs="+", default=[], metavar="DIR",
        help="folders of predictions, scored for the card")  # fmt: skip
    add("--figures", type=Path, nargs="+", default=[], metavar="FILE",
        help="what calc_wer_cer.py --json printed, for the card")  # fmt: skip
    add("--card_from", "--card-from", type=Path, nargs="+", default=[], metavar="FILE",
        help="Markdown to end the card with; a '## Limits' in it replaces ours")  # fmt: skip
    add("--language_model", "--language-model", type=Path, metavar="FILE",
        help="for decoder=auto to read with; a copy will lie beside the model")  # fmt: skip
    add("--lexicon", type=Path, metavar="FILE", help="how a phoneme model spells its words")
    add("--lm_weight", "--lm-weight", type=float, metavar="X", help="(default: as tuned, or 0.8)")
    add("--bonus", type=float, metavar="X", help="natural log a word (default: as tuned, or 1)")
    add("--licence", default="MIT", help="of the weights (%(default)s)")
    add("--default", action="store_true", help="read with it where no checkpoint is named")
    add("--golden", type=Path, metavar="DIR", help="keep golden outputs in DIR, of DIR/clips")
    add("--data", type=Path, metavar="DIR", help="golden outputs of real clips below DIR too")
    return parser.parse_args(words)


def publish(options: argparse.Namespace) -> str:
    """Write the file, its card, its entry and its golden outputs; tell how it went.

    Raises:
        UserError: no checkpoint, a language model that it can't decode with, weights that
            float16 has no value for, no speech to compare on, figures that can't be read, or a
            folder that can't be written.
    """
    if not NAME.fullmatch(options.name):
        raise UserError(f"--name {options.name}: use letters, digits, '-', '_' and '.'.")
    clips = clips_of(options.golden, options.data) if options.golden else None
    source = find_checkpoint(options.checkpoint)
    text, recognizer, state = load_recognizer(source)
    run = read_run(source)
    figures = [*map(measured, options.predictions), *map(read_figures, options.figures)]
    added = [_read(path) for path in options.card_from]
    companions = Companions.of(options, source, text)
    state = {key: value for key, value in state.items() if key != "decoder"}
    state |= {"decoder": companions.weights} if companions.weights else {}
    content = to_published(state, half=options.precision == "float16")
    found = _compare(options, run, text, recognizer, content)
    path = options.out / f"{options.name}{SUFFIX}"
    with atomic_write(path) as file:
        file.write(content)
    copies = companions.copied_beside(path)
    removed = earlier_files(options.out / "registry.yaml", path, copies.values())
    for file in removed:
        file.unlink()
    facts = Facts(
        name=options.name,
        file=path,
        size=len(content),
        precision=FLOAT16 if options.precision == "float16" else "float32",
        n_parameters=sum(p.numel() for p in recognizer.parameters()),
        step=state.get("step"),
        unit=text.unit,
        licence=options.licence,
        config=state["config"],
        run=run,
        figures=figures,
        compared=_sentence(found),
        added=added,
        companions=copies,
        weights=companions.weights,
    )
    with atomic_write(options.out / f"{options.name}.md", "w") as file:
        file.write(card(facts))
    write_entry(options.out / "registry.yaml", options.name, _entry(facts), default=options.default)
    written = [path, *copies.values(), path.with_suffix(".md"), options.out / "registry.yaml"]
    if clips is not None:
        written.append(write_golden(path, options.name, options.golden, clips))
    smaller = f"{source.stat().st_size / 1e6:.1f} MB → {len(content) / 1e6:.1f} MB"
    lines = [f"written: {p}" for p in written] + [f"removed: {p}" for p in removed]
    return "\n".join([told(found), f"{source}: {smaller}", *lines])


def _compare(
    options: argparse.Namespace, run: Run, text: Any, recognizer, content: bytes
) -> Difference:
    """What the published weights read otherwise than those of the checkpoint."""
    rate = recognizer.sample_rate
    speech = utterances(options.input, run.config, text, rate, options.n_compared)
    _, published, _ = rebuilt(from_published(content), f"{options.name}{SUFFIX}")
    return compare(text, recognizer, published, speech)


def _sentence(found: Difference) -> str:
    rates = "; ".join(
        f"{name.upper()} {100 * before:.2f} % before, {100 * after:.2f} % after"
        for name, (before, after) in found.rates.items()
    )
    return (
        f"Half precision changes {len(found.changed) or 'none'} of {found.n:,} greedy texts"
        f"{': ' + rates if rates else ''}."
    )


def _entry(facts: Facts) -> Mapping[str, Any]:
    entry = {
        "description": facts.description,
        "licence": facts.licence,
        "task": facts.task,
        "size": facts.size,
        "sha256": sha256(facts.file),
        "file": facts.file.name,
        "card": f"{facts.name}.md",
    }
    entry |= {"figure": facts.figure} if facts.figure else {}
    return entry | ({"companions": entries(facts.companions)} if facts.companions else {})


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--card_from {path}: can't be read ({error}); name a text file."
        ) from error


if __name__ == "__main__":
    main()
