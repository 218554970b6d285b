"""From a config to a trainer: every key arrives where it is meant, or is refused by name."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from src.build import build_recognizer, build_text, build_trainer
from src.build.training import build_loaders, build_optimizer, describe
from src.logger import Several
from src.utils.errors import UserError
from tests.build.configs import tiny
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.datasets.tiny_corpus import write_chapter

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """Clips between 0.25 and 1 second, packed, as an override."""
    folder = tmp_path_factory.mktemp("corpus")
    return f"dataset.path={pack_corpus(folder, n_each=4, lengths=(4000, 9000, 16000))[1]}"


def loaders_of(config: dict) -> tuple:
    text = build_text(config)
    return tuple(build_loaders(config, text, CPU, build_recognizer(config, text)))


def trainer_of(config: dict, run_dir):
    return build_trainer(config, run_dir, Several([]))


def test_training_is_shuffled_and_held_out_speech_is_not(corpus):
    train, validation = loaders_of(tiny(corpus, "loader.batch_size=5", "seed=7"))
    first, second = [sorted(chain(*train.batch_sampler)) for _ in range(2)]
    assert first == second == list(range(24))
    assert train.batch_sampler.seed == 7 and train.batch_sampler.shuffle
    assert [len(rows) for rows in validation.batch_sampler] == [5, 5, 2]
    assert list(chain(*validation.batch_sampler)) == list(range(12))


def test_the_cap_on_seconds_holds_for_held_out_speech_too(corpus):
    overrides = ("loader.max_batch_s=2.0", "dataset.max_duration_s=0.9")
    train, validation = loaders_of(tiny(corpus, *overrides))
    for loader in (train, validation):
        seconds = loader.batch_sampler.durations_s
        for rows in loader.batch_sampler:
            assert len(rows) * seconds[rows].max() <= 2.0
    assert np.isclose(validation.batch_sampler.durations_s.max(), 1.0)


def test_a_cache_changes_no_batch_and_needs_no_recording_any_more(tmp_path):
    spoken = {"ONE": 0.5, "TWO": 0.8, "THREE": 0.6}
    for part, speaker in (("train-clean-100", "7"), ("dev-clean", "9")):
        write_chapter(tmp_path / "LibriSpeech" / part, speaker, spoken)
    root = f"dataset.root={tmp_path / 'LibriSpeech'}"
    held_out = ("dataset.validation.parts=[dev-clean]", "dataset.validation.speakers=all")
    config = tiny(
        "dataset=librispeech", root, f"dataset.index_dir={tmp_path}", *held_out,
        "dataset.train.speakers=all", "text=characters", "transform=logmel80",
        f"loader.cache={tmp_path / 'pcm'}",
    )  # fmt: skip
    plain = config | {"loader": config["loader"] | {"cache": None}}
    direct = [list(loader) for loader in loaders_of(plain)]
    loaders = loaders_of(config)
    for path in (tmp_path / "LibriSpeech").rglob("*.flac"):
        path.unlink()
    for loader, expected in zip(loaders, direct, strict=True):
        found = list(loader)
        assert [batch.ids for batch in found] == [batch.ids for batch in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.waveforms.dtype == torch.int16 and len(ours.ids) == 3
            assert torch.equal(ours.waveforms, theirs.waveforms)
            assert torch.equal(ours.tokens, theirs.tokens)


def test_held_out_speech_longer_than_the_cap_is_read_all_the_same(corpus):
    overrides = ("loader.max_batch_s=0.6", "dataset.max_duration_s=0.6")
    _, validation = loaders_of(tiny(corpus, *overrides))
    batches = list(validation.batch_sampler)
    assert sorted(chain(*batches)) == list(range(12))
    seconds = validation.batch_sampler.durations_s
    assert max(len(rows) * seconds[rows].max() for rows in batches) <= 1.0


WRONG = {
    "loader.batch_size=some": r"loader\.batch_size=some: expected a whole number",
    "loader.batch_size=0": "batch_size=0",
    "loader.max_batch_s=nan": "max_batch_s=nan; expected seconds above 0, or null",
    "loader.max_batch_s=inf": "max_batch_s=inf; expected seconds above 0, or null",
    "+loader.batchsize=8": r"loader\.batchsize: Batches has no such key; did you mean loader.batch",
    "loader.n_workers=two": r"loader\.n_workers=two: expected a whole number",
    "+loader.shuffle=false": r"loader\.shuffle: Batches has no such key; there are batch_size",
    "+loader.pin_memory=true": r"loader\.pin_memory: Batches has no such key",
    "+model.n_tokens=9": r"model\.n_tokens: ConvNet has no such key; there are channels",
    "dataset.train.split=practice": "split=practice",
    "+dataset.train.speakers=all": r"dataset\.train\.speakers: SpeechCommands has no such key",
    "transform.features.sample_rate=8000": r"dataset\.sample_rate=16000: this model .* 8000 Hz",
    "+trainer.epochs=3": r"trainer\.epochs: Settings has no such key; did you mean trainer.n_ep",
    "trainer.patience=soon": r"trainer\.patience=soon: expected a whole number or null",
    "trainer.monitor=wre": r"trainer\.monitor=wre: validation measures only loss, per, word_error",
    "trainer.monitor=wer_beam": r"trainer\.monitor=wer_beam: .* only loss, per, word_error\.",
    "optimizer.lr=-1": r"optimizer\.lr=-1: expected a finite number from 0 up, such as 1e-3",
    "optimizer.weight_decay=-1": r"optimizer\.weight_decay=-1: expected a finite number from 0 up",
    "optimizer.lr=inf": r"optimizer\.lr=inf: expected a finite number from 0 up, such as 1e-3",
    "optimizer.weight_decay=inf": r"optimizer\.weight_decay=inf: expected a finite number",
    "optimizer.betas=0.9": r"optimizer: torch\.optim\.AdamW refuses its keys",
    "optimizer.betas=[0.9,2]": r"refuses its keys \(Invalid beta parameter",
    "+optimizer.momentum=0.9": r"optimizer\.momentum: AdamW has no such key",
    "augment.max_time_fraction=5": "max_time_fraction=5",
    "schedule.rise_share=2": r"rise_share=2",
    "init_head=no": "init_head=no: expected true or false",
    "init_head=off": "init_head=off: expected true or false",
    "init_head=null": "init_head=None: expected true or false",
    "device=tpu": "device=tpu: unknown",
    "device=false": "device=False: unknown",
    "~loader.prefetch": r"loader: also needs prefetch",
    "loader=null": r"loader=None: expected keys, among them cache, n_workers",
    "~dataset.train": r"dataset: also needs train",
    "text.words=inf": r"text: src\.text\.Phonemes refuses its keys \('float' object is not iter",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_value_that_cannot_be_used_is_named(override, corpus, tmp_path):
    with pytest.raises(UserError, match=WRONG[override]):
        trainer_of(tiny(corpus, override), tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["per", "per_beam", "validation/word_error", "loss", "auto"])
def test_each_metric_that_validation_measures_can_be_monitored(name, corpus, tmp_path):
    trainer = trainer_of(tiny(corpus, "decoder=beam", f"trainer.monitor={name}"), tmp_path)
    monitored, value, metrics = trainer.validation.run(step=0)
    assert monitored == ("per" if name == "auto" else name.removeprefix("validation/"))
    assert value == metrics[monitored]
    assert set(metrics) - {"impossible"} == {"loss", "per", "per_beam", "word_error"}


def test_weight_decay_reaches_matrices_only():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    optimizer = build_optimizer(tiny("optimizer.weight_decay=0.25"), model)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.25, 0.0, 0.0, 0.0]


def test_every_choice_arrives_in_the_trainer(corpus, tmp_path):
    overrides = [
        "trainer.precision=bf16", "trainer.max_grad_norm=3", "trainer.accumulate=2",
        "trainer.n_epochs=4", "trainer.monitor=loss", "trainer.n_examples=1", "seed=9",
        "deterministic=true", "schedule=noam", "schedule.warmup_steps=17", "augment=none",
        "optimizer=adam", "optimizer.lr=0.02", "loader.batch_size=4", "decoder=beam",
    ]  # fmt: skip
    trainer = trainer_of(tiny(corpus, *overrides), tmp_path)
    stepper, validation = trainer.stepper, trainer.validation
    assert (stepper.precision, stepper.max_grad_norm, stepper.seed) == ("bf16", 3, 9)
    assert stepper.loss.loss.deterministic and trainer.schedule.warmup_steps == 17
    assert type(stepper.augment).__name__ == "Identity"
    assert type(stepper.optimizer) is torch.optim.Adam
    assert stepper.optimizer.param_groups[0]["lr"] == 0.02
    assert trainer.total_steps == 4 * 3  # 24 clips, 4 a batch, 2 batches a step
    assert (validation.monitor, validation.n_examples) == ("loss", 1)
    assert validation.precision == "bf16" and validation.loss is stepper.loss.loss
    assert set(validation.read.__self__.decoders) == {"greedy", "beam"}


def test_weights_can_start_from_a_checkpoint(corpus, tmp_path):
    first = trainer_of(tiny(corpus), tmp_path)
    first.save()
    torch.manual_seed(99)
    second = trainer_of(tiny(corpus, f"init_from={first.checkpoints.last}"), tmp_path / "second")
    weights = second.stepper.recognizer.state_dict()
    for name, tensor in first.stepper.recognizer.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert second.progress.step == 0 and not second.stepper.optimizer.state_dict()["state"]


def test_another_vocabulary_can_start_from_all_but_the_head(corpus, tmp_path):
    first = trainer_of(tiny(corpus), tmp_path)
    first.save()
    torch.manual_seed(99)
    start = (f"init_from={first.checkpoints.last}", "init_head=false", "text=phonemes_cmu")
    second = trainer_of(tiny(corpus, *start), tmp_path / "second")
    ours, theirs = (t.stepper.recognizer.state_dict() for t in (second, first))
    heads = [name for name in theirs if name.startswith("model.head.")]
    assert len(heads) == 2 and all(ours[name].shape != theirs[name].shape for name in heads)
    for name in set(theirs) - set(heads):
        assert torch.equal(ours[name], theirs[name]), name


def test_another_model_can_lend_nothing(corpus, tmp_path):
    first = trainer_of(tiny(corpus), tmp_path)
    first.save()
    start = (f"init_from={first.checkpoints.last}", "init_head=false", "model.rnn_width=24")
    with pytest.raises(UserError, match="holds the weights of another model or front end"):
        trainer_of(tiny(corpus, *start), tmp_path / "second")


def test_a_checkpoint_is_described_in_plain_values_without_a_path():
    stored = "transform.normalise.statistics=/home/somebody/stats.json"
    config = tiny("transform=logmel80_stored", stored)
    before = config["transform"]["normalise"]["statistics"]
    description = describe(config, build_text(config))
    assert "somebody" not in str(description) and "somebody" in before
    assert config["transform"]["normalise"]["statistics"] == before  # the config is left alone
    assert set(description["config"]) == {"text", "transform", "model"}
    assert len(description["symbols"]) == 46 and description["name"] == "convnet"
