"""The model card: what a stranger must know before trusting a model, on one page of Markdown.

After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993), cut to what we
know: what can't be told from the run is left to the texts that its maker adds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scripts.publishing.runs import Run, targets
from src.metrics import measure, plain, read_predictions, summarise_all
from src.text import Normaliser
from src.utils.errors import UserError
from src.utils.registry import COMPANIONS
from src.utils.tables import percent


class Corpus(NamedTuple):
    """What a card says of speech to train on."""

    name: str
    source: str
    licence: str
    speech: str  # for the registry's task
    limits: str


CORPORA = {
    "LibriSpeech": Corpus(
        "LibriSpeech",
        "Panayotov et al. 2015, https://www.openslr.org/12",
        "CC BY 4.0",
        "read English",
        "It learnt from audiobooks read in English: conversation, noise, far microphones, other "
        "accents and words that books lack are read worse than the figures say.",
    ),
    "SpeechCommands": Corpus(
        "Google Speech Commands",
        "Warden 2018, arXiv:1804.03209",
        "CC BY 4.0",
        "spoken commands",
        "It learnt from single words of a closed list, one a clip of one second: sentences and "
        "other words are not what it is for.",
    ),
}
# Published weights that training may start from: model, whose they are and their licence.
ENCODERS = {
    "Whisper": "OpenAI's Whisper (Radford et al. 2022, arXiv:2212.04356), of which the audio "
    "encoder; MIT licence",
}
OF_WORDS = ("wer", "word_error")  # error rates
UNITS = {"character": "text", "phoneme": "phonemes"}


class Figures(NamedTuple):
    """Error rates of one set of speech, as calc_wer_cer.py --json prints them."""

    name: str
    n: int  # utterances
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Facts:
    """What a card tells of a model."""

    name: str
    file: Path
    size: int  # bytes
    precision: str
    n_parameters: int
    step: int | None
    unit: str  # that it emits
    licence: str  # of the weights
    config: Mapping[str, Any]  # of the checkpoint: text, transform, model
    run: Run
    figures: Sequence[Figures]
    compared: str  # what half precision changed
    added: Sequence[str]  # Markdown by its maker
    companions: Mapping[str, Path]  # ending → language model or lexicon beside the file
    weights: Mapping[str, float]  # to decode with them

    @property
    def architecture(self) -> str:
        """The model's class."""
        return str(self.config["model"]["_target_"]).rpartition(".")[2]

    @property
    def corpora(self) -> list[Corpus]:
        """Those of ours that it was trained on, as far as the run tells and we know them."""
        names = [target.rpartition(".")[2] for target in _trained_on(self.run)]
        return [CORPORA[name] for name in dict.fromkeys(names) if name in CORPORA]

    @property
    def task(self) -> str:
        """What it reads, and into what."""
        speech = " and ".join(corpus.speech for corpus in self.corpora) or "speech"
        written = UNITS.get(self.unit, self.unit)
        in_words = set(self.companions) & set(COMPANIONS["lexicon"])
        return f"{speech} → {'words' if in_words else written}"

    @property
    def description(self) -> str:
        """One line for the registry."""
        names = " and ".join(corpus.name for corpus in self.corpora)
        trained = f", trained on {names}" if names else ""
        return f"{self.architecture}, {self.n_parameters / 1e6:.1f} M parameters{trained}"

    @property
    def figure(self) -> str:
        """The first error rate, of words if there is one, for the registry; "" without any."""
        for figures in self.figures:
            for name in (*OF_WORDS, *figures.scores):
                if score := figures.scores.get(name):
                    return f"{_title(name)} {_rate(score)} on {figures.name}"
        return ""


def measured(folder: Path) -> Figures:
    """Corpus rates with intervals of a folder of predictions, as calc_wer_cer.py scores it.

    Raises:
        UserError: no such folder, or a file in it that can't be scored.
    """
    pairs, skipped = read_predictions(folder)
    if skipped or not pairs:
        which = f"{skipped[0].file}: {skipped[0].reason}" if skipped else "no files"
        raise UserError(
            f"{folder}: {len(skipped)} of its files can't be scored ({which}); a published figure "
            "leaves none out. Predict the whole part again."
        )
    scores = summarise_all([measure(pair, Normaliser()) for pair in pairs])
    return Figures(folder.resolve().name, len(pairs), plain(scores))


def read_figures(path: Path) -> Figures:
    """What `python calc_wer_cer.py --json` printed into a file.

    Raises:
        UserError: another kind of file.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        name, scores = Path(report["dir_path"]).name, report["scores"]
        figures = Figures(name, int(report["n_utterances"]), scores)
        for score in scores.values():
            _rate(score)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not what calc_wer_cer.py --json prints ({error!r}); make it with python "
            "calc_wer_cer.py --dir_path DIR --json > FILE."
        ) from error
    return figures


def card(facts: Facts) -> str:
    """The page."""
    parts = [_head(facts), _use(facts), _figures(facts), _training(facts), *facts.added]
    if facts.corpora and not any("## Limits" in text for text in facts.added):
        limits = "\n".join(f"- {corpus.limits}" for corpus in facts.corpora)
        parts.append(f"## Limits\n\n{limits}")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _head(facts: Facts) -> str:
    front_end = [name.rpartition(".")[2] for name in targets(facts.config["transform"])]
    step = f", step {facts.step:,}" if facts.step is not None else ""
    rows = [
        ("reads", facts.task),
        ("architecture", f"{facts.architecture}; front end {', '.join(front_end)}"),
        ("parameters", f"{facts.n_parameters:,}"),
        ("file", f"`{facts.file.name}`, {facts.size / 1e6:.1f} MB, {facts.precision}{step}"),
        *_companions(facts),
        ("licence", f"{facts.licence} (the weights)"),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    return f"# {facts.name}\n\n{facts.description}.\n\n| | |\n|---|---|\n{table}"


def _companions(facts: Facts) -> Iterator[tuple[str, str]]:
    for kind, endings in COMPANIONS.items():
        for file in (facts.companions[e] for e in endings if e in facts.companions):
            yield kind.replace("_", " "), f"`{file.name}`, {file.stat().st_size / 1e6:.1f} MB"
    if facts.companions:
        weights = [f"{key} {value:g}" for key, value in facts.weights.items()]
        yield "reads by", ", ".join(["decoder=auto: beam_lm with these", *weights])


def _use(facts: Facts) -> str:
    return (
        "## Use\n\n```bash\n"
        f"python inference.py checkpoint={facts.name} input=my.wav\n```\n\n"
        "`input=` takes a file, a folder or a glob."
    )


def _figures(facts: Facts) -> str:
    if not facts.figures:
        return ""
    rows = [
        f"| {figures.name} | {figures.n:,} | {_title(name)} | {_rate(score)} |"
        for figures in facts.figures
        for name, score in figures.scores.items()
    ]
    return "\n".join(
        [
            "## Error rates",
            "",
            "Summed errors over summed reference length, with 95 % bootstrap intervals.",
            "",
            "| speech | utterances | rate | value |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _training(facts: Facts) -> str:
    config = facts.run.config or {}
    lines = [
        f"- Speech: {corpus.name} ({corpus.source}), {corpus.licence}." for corpus in facts.corpora
    ]
    names = {target.rpartition(".")[2] for target in _trained_on(facts.run)}
    lines += [f"- Speech: {name}, under a licence of its own." for name in names - {*CORPORA}]
    if facts.run.audio_s:
        lines.append(f"- Heard in training: {facts.run.audio_s / 3600:.1f} h, repeats counted.")
    if weights := (config.get("model") or {}).get("weights"):
        whose = ENCODERS.get(facts.architecture, "published under a licence of its own")
        lines.append(f"- Starts from other people's weights, {Path(weights).name}: {whose}.")
    if start := config.get("init_from"):
        lines.append(f"- Starts from {Path(start).name}.")
    if facts.precision != "float32":
        lines.append(f"- {facts.compared}")
    command = f"\n\n```text\n{facts.run.command}\n```" if facts.run.command else ""
    return "## Training\n\n" + "\n".join(lines) + command if lines or command else ""


def _trained_on(run: Run) -> list[str]:
    dataset = (run.config or {}).get("dataset")
    node = dataset.get("train") if isinstance(dataset, dict) else None
    return [target for target in targets(node) if target.startswith("src.datasets.")]


def _title(name: str) -> str:
    return name.upper() if name in ("wer", "cer", "per") else name.replace("_", " ")


def _rate(score: Mapping[str, float]) -> str:
    return percent(float(score["rate"]), (float(score["low"]), float(score["high"])))
