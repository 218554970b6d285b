"""One hand for recogniser, decoders and vocabulary: batches, waveforms, folders."""

import json
import os

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from src.batch import Utterance
from src.build.inference import load_recognizer
from src.build.parts import build_transcriber
from src.datasets import collate
from src.models import DeepSpeech2
from src.pipeline import Transcriber, earlier_predictions, remove_predictions
from src.recognizer import Recognizer
from src.text import Characters
from src.transforms import FrontEnd, LogMel, UtteranceNormalisation
from tests.cli.in_process import untrained
from tests.recordings import TONE

GREEDY = {"_target_": "src.decoders.Greedy"}
BEAM = {"_target_": "src.decoders.PrefixBeam", "beam_width": 4, "n_best": 2}


@pytest.fixture(scope="module", params=["text=characters", "text=phonemes"])
def transcriber(request, tmp_path_factory):
    """An untrained model of letters, then of phonemes, read greedily and by beam search."""
    path = untrained(tmp_path_factory.mktemp("model") / "model.pt", request.param)
    text, recognizer, _ = load_recognizer(path)
    return build_transcriber(recognizer, text, BEAM, "float32")


def utterance(name: str, n_samples: int, transcript: str = "", target: str = "") -> Utterance:
    return Utterance(name, TONE[:n_samples].astype(np.float32), transcript, target)


def test_an_utterance_is_read_the_same_alone_and_in_a_batch(transcriber):
    long, short = utterance("long", 32000), utterance("short", 9000)
    together = transcriber.transcribe(collate([long, short]))
    assert [p.id for p in together] == ["long", "short"]
    for prediction, alone in zip(together, (long, short), strict=True):
        single = transcriber.transcribe(collate([alone]))[0]
        for name in ("greedy", "beam"):
            texts = [h.text for h in prediction.readings[name]]
            assert texts == [h.text for h in single.readings[name]]
            scores = [h.score for h in single.readings[name]]
            assert [h.score for h in prediction.readings[name]] == pytest.approx(scores, rel=1e-4)
        assert prediction.duration_s == len(alone.waveform) / 16000


def test_a_waveform_gives_the_last_decoders_first_choice(transcriber):
    best = transcriber.transcribe_waveform(TONE[:16000])
    prediction = transcriber.transcribe(collate([utterance("a", 16000)]))[0]
    assert best == prediction.readings["beam"][0]
    assert prediction.target is None and prediction.word is None


def test_emissions_are_made_in_evaluation_mode_and_without_gradient(transcriber):
    transcriber.recognizer.train()
    emissions = transcriber.emissions(collate([utterance("a", 16000)]))
    assert not transcriber.recognizer.training
    assert not emissions.log_probs.requires_grad
    again = transcriber.emissions(collate([utterance("a", 16000)]))
    torch.testing.assert_close(emissions.log_probs, again.log_probs, rtol=0, atol=0)


class WeightCasts(TorchDispatchMode):
    """Counts how often a matrix of 100 or more values is turned into bfloat16."""

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() == "aten::_to_copy" and (kwargs or {}).get("dtype") == torch.bfloat16:
            self.n += args[0].ndim == 2 and args[0].numel() >= 100
        return func(*args, **(kwargs or {}))


def test_in_bf16_weights_are_cast_once_a_batch_and_not_at_every_frame():
    """Under inference_mode autocast keeps no casts: a GRU was 11 times slower than in float32."""
    torch.manual_seed(0)
    front_end = FrontEnd(features=LogMel(n_mels=20), normalise=UtteranceNormalisation())
    model = DeepSpeech2(20, 3, n_cnn_layers=1, n_rnn_layers=2, n_channels=2, width=16)
    text = Characters(symbols="ab")
    reader = Transcriber(Recognizer(front_end, model), text, {}, precision="bf16")
    counts = []
    for n_samples in (8000, 32000):
        with WeightCasts() as casts:
            reader.emissions(collate([utterance("a", n_samples), utterance("b", n_samples // 2)]))
        counts.append(casts.n)
    assert counts[0] == counts[1] > 0


def test_words_are_named_only_through_a_closed_lexicon(transcriber):
    known = transcriber.transcribe(collate([utterance("a", 16000, "Down", "D AW N")]))[0]
    assert known.target == "D AW N" and known.word == "down"
    if known.unit == "phoneme":
        assert known.read_word in transcriber.text.lexicon and 0 < known.word_posterior <= 1
    else:
        assert known.read_word is None


def test_every_prediction_is_a_file_and_older_ones_go(transcriber, tmp_path):
    older = {"id": "older", "pred_text": "a", "n_best": []}
    (tmp_path / "older.json").write_text(json.dumps(older))
    batches = [collate([utterance("a", 16000), utterance("b", 9000)]), collate([utterance("c", 1)])]
    predictions = transcriber.transcribe_all(batches, tmp_path)
    assert [p.id for p in predictions] == ["a", "b", "c"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json", "c.json"}
    for prediction in predictions:
        assert json.loads((tmp_path / f"{prediction.id}.json").read_text()) == prediction.to_dict()


def test_decoding_beside_the_model_changes_nothing(transcriber, tmp_path):
    names = ("a", "b", "c", "d", "e")
    clips = [utterance(n, 9000 + 3000 * i, "Down", "D AW N") for i, n in enumerate(names)]
    batches = [collate(clips[:2]), collate([]), *(collate([clip]) for clip in clips[2:])]
    alone = transcriber.transcribe_all(batches, tmp_path / "alone")
    assert transcriber.transcribe_all(batches, tmp_path / "beside", n_decoders=1) == alone
    assert [prediction.id for prediction in alone] == list(names)
    for name in names:
        files = [tmp_path / folder / f"{name}.json" for folder in ("alone", "beside")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("n_decoders", [0, 1])
def test_decoding_batches_together_changes_nothing(transcriber, tmp_path, n_decoders):
    names = ("a", "b", "c", "d", "e")
    clips = [utterance(n, 9000 + 3000 * i, "Down", "D AW N") for i, n in enumerate(names)]
    batches = [collate(clips[:2]), collate([]), *(collate([clip]) for clip in clips[2:])]
    alone = transcriber.transcribe_all(batches, tmp_path / "alone")
    for n in (3, 100):
        folder = tmp_path / str(n)
        found = transcriber.transcribe_all(batches, folder, n_decoders, decode_batch=n)
        assert [p.to_dict() for p in found] == [p.to_dict() for p in alone]
        assert {path.name for path in folder.iterdir()} == {f"{name}.json" for name in names}


def test_predictions_are_written_while_later_batches_are_still_read(transcriber, tmp_path):
    def batches():
        for i in range(4):
            # One batch is with the model, the one before it may be with the decoder.
            written = {path.stem for path in tmp_path.glob("*.json")}
            assert written == {str(n) for n in range(i - 1)}
            yield collate([utterance(str(i), 9000)])

    transcriber.transcribe_all(batches(), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 4


@pytest.mark.parametrize(
    ("content", "goes"),
    [
        ('{"pred_text": "", "n_best": []}', True),
        ('{"pred_text": "a", "text": "a"}', False),
        ('{"n_best": []}', False),
        ('["pred_text", "n_best"]', False),
        ('"pred_text n_best"', False),
        ("", False),
        ("\xff", False),
        ("[" * 100_000, False),
    ],
)
def test_only_files_that_are_surely_predictions_go(tmp_path, content, goes):
    for name in ("old.json", "new.json", "old.txt"):
        (tmp_path / name).write_text(content, encoding="latin-1")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    remove_predictions(earlier_predictions(tmp_path), keep={"new"})
    assert (tmp_path / "old.json").exists() != goes
    assert {"new.json", "old.txt", "folder.json", "pipe.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert earlier_predictions(tmp_path / "nowhere") == []
