"""A checkpoint hears its training speech three times, each time harder, and never twice in vain."""

import logging

import pytest
import torch

from scripts.learning.hearing import HEARINGS, hear, hear_once, training_speech, what_is_heard
from scripts.learning.spelled import joined
from src.trainer import load_checkpoint
from tests.cli.in_process import untrained
from tests.recordings import TONE, write
from tests.spelling.test_learning import learner

THRESHOLD = 0.03  # nothing learnt, so that every phoneme has about 1/41 everywhere


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Speech, and a reader without dropout and one with much."""
    folder = tmp_path_factory.mktemp("hearing")
    for dropout in (0.0, 0.5):
        untrained(folder / f"{dropout}.pt", "text=phonemes_cmu_open", f"model.dropout={dropout}")
    (folder / "talks").mkdir()
    for i, words in enumerate(("the cat sat", "a dog")):
        write(folder / "talks" / f"{i}.wav", TONE)
        (folder / "talks" / f"{i}.txt").write_text(words)
    return folder


def speech(place, dropout: float = 0.0):
    keys = [f"input={place / 'talks'}", "loader.n_workers=0"]
    return training_speech(place / f"{dropout}.pt", keys, torch.device("cpu"), "float32")


def heard(place, dropout: float, seed: int = 0) -> list[list[torch.Tensor]]:
    """The posteriors of the utterances in each hearing."""
    found = [posteriors for posteriors, _ in hear(speech(place, dropout), seed, THRESHOLD)]
    assert len(found) == 2 * len(HEARINGS)
    return [found[i : i + 2] for i in range(0, len(found), 2)]


def alike(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, some, others))


def test_each_hearing_is_harder_in_its_own_way(place):
    first, light, strong = heard(place, dropout=0.0)
    assert not alike(first, light) and not alike(light, strong) and not alike(first, strong)
    other, *masked = heard(place, dropout=0.0, seed=1)
    assert alike(other, first)  # without masks and dropout nothing is drawn
    assert not alike(masked[0], light)


def test_it_hears_with_the_dropout_that_it_learnt_with_and_nothing_else_of_training(place):
    plain, other = heard(place, dropout=0.5), heard(place, dropout=0.5, seed=1)
    assert not alike(plain[0], other[0])
    assert alike(plain[0], heard(place, dropout=0.5)[0])
    job = speech(place, 0.5)
    before = {k: v.clone() for k, v in job.transcriber.recognizer.state_dict().items()}
    for _ in hear(job, 0, THRESHOLD):
        pass
    after = job.transcriber.recognizer.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())  # statistics


def test_tokens_are_those_of_the_transcripts(place):
    job = speech(place)
    symbols = job.transcriber.text.vocabulary.symbols
    said = {" ".join(symbols[i] for i in tokens) for _, tokens in hear(job, 0, THRESHOLD)}
    assert len(said) == 2 and any("K AE T" in text for text in said)


def test_speech_is_heard_once(place, tmp_path, monkeypatch, capsys, caplog):
    job, path = speech(place), tmp_path / "deep" / "x.heard"
    of = what_is_heard(job, place / "0.0.pt", 0, THRESHOLD)
    first = hear_once(job, of, path)
    monkeypatch.setattr("scripts.learning.hearing.hear", None)  # would fail if it heard again
    again = hear_once(job, of, path)
    assert "what was heard, from an earlier run" in capsys.readouterr().out
    for name, tensor in first.state().items():
        assert torch.equal(tensor, again.state()[name])
    monkeypatch.undo()
    hear_once(job, of | {"seed": 1}, path)
    assert torch.load(path)["of"]["seed"] == 1 and not capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:99])
    with caplog.at_level(logging.WARNING):
        hear_once(job, of, path)
    assert "x.heard: could not be read" in caplog.text
    assert torch.load(path)["of"] == of


def test_another_speech_reader_seed_or_transcript_is_another_hearing(place, tmp_path):
    def of(job, dropout=0.0, seed=0, threshold=THRESHOLD) -> str:
        return repr(what_is_heard(job, place / f"{dropout}.pt", seed, threshold))

    job = speech(place)
    found = [of(job), of(job, dropout=0.5), of(job, seed=1), of(job, threshold=0.1)]
    assert of(speech(place)) == found[0]
    text = place / "talks" / "0.txt"
    text.write_text("the cat sits")
    found.append(of(speech(place)))
    text.write_text("the cat sat")
    write(place / "talks" / "0.wav", TONE[: len(TONE) // 2])
    found.append(of(speech(place)))
    write(place / "talks" / "0.wav", TONE)
    assert of(speech(place)) == found[0] and len(set(found)) == len(found)


def test_the_mean_of_the_weights_is_what_spells(place):
    one = learner(n_steps=3)
    one.run(lambda loss: None)
    reader = load_checkpoint(place / "0.0.pt")
    made = joined(reader, 70, one, ["▁a"], {"width": 16})
    moved = 0
    for name, tensor in one.speller.state_dict().items():
        kept = made["recognizer"][f"model.speller.{name}"]
        assert torch.equal(kept, one.mean[name])
        moved += not torch.equal(kept, tensor)
    assert moved > 5 and made["step"] == 3 and made["symbols"][1:] == ["▁a"]
