"""Parts that training and inference build alike."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from src.build.targets import build
from src.decoders import Greedy, IsolatedWord
from src.pipeline import Transcriber
from src.recognizer import Recognizer
from src.transforms import Augmentation, FrequencyWarp, FrontEnd
from src.utils.errors import UserError


def build_text(config: Mapping[str, Any]) -> Any:
    """Vocabulary, unit and normalisation of the transcripts."""
    return build(config["text"], "text")


def build_recognizer(config: Mapping[str, Any], text: Any):
    """Front end and model for the vocabulary of `text`."""
    front_end = build(config["transform"], "transform")
    if not isinstance(front_end, FrontEnd):
        raise UserError(
            f"transform._target_={config['transform']['_target_']}: expected "
            "src.transforms.FrontEnd, with a feature such as this under transform.features and "
            "what follows it under transform.normalise; configs/transform/mfcc.yaml shows how."
        )
    model = build(
        config["model"], "model", n_features=front_end.n_features, n_tokens=len(text.vocabulary)
    )
    return Recognizer(front_end, model)


def build_augment(
    config: Mapping[str, Any], front_end: FrontEnd
) -> tuple[nn.Module | None, nn.Module]:
    """What is done in training to waveforms (None = nothing) and to features."""
    augment = build(config["augment"], "augment")
    for part in augment.modules():
        if isinstance(part, FrequencyWarp):
            part.prepare(front_end)
    if not isinstance(augment, Augmentation):
        return None, augment
    augment.waveform.prepare(front_end.sample_rate)
    return augment.waveform, augment.features


def build_transcriber(recognizer, text, decoder: Mapping[str, Any], precision: str):
    """Greedy decoding always, the configured decoder after it, words where a lexicon is closed."""
    configured = build(decoder, "decoder", vocabulary=text.vocabulary)
    decoders = {"greedy": Greedy(text.vocabulary)}
    if not isinstance(configured, Greedy):
        decoders["beam"] = configured
    word_decoder = None
    if text.unit == "phoneme" and text.lexicon:
        word_decoder = IsolatedWord(text.lexicon, text.vocabulary)
    return Transcriber(recognizer, text, decoders, word_decoder, precision)


def check_sample_rate(dataset, recognizer) -> None:
    """Refuse to let a model hear speech at another rate than its front end expects.

    Raises:
        UserError: the two rates differ.
    """
    if dataset.sample_rate != recognizer.sample_rate:
        raise UserError(
            f"dataset.sample_rate={dataset.sample_rate}: this model listens at "
            f"{recognizer.sample_rate} Hz. Set dataset.sample_rate={recognizer.sample_rate}, or "
            "take a model and front end of the dataset's rate."
        )
