# The source of first_model.ipynb and first_model.html: python -m scripts.build_notebook
# ruff: noqa: E402 (each cell imports what it is the first to use)

# %% [markdown]
# # A first model, from sound to text
#
# This page trains a small speech recogniser and shows what happens on the way: what it hears, what
# it says of each instant, how these many opinions become a word, and what it gets wrong. Knowing
# Python is enough to follow. All of it takes less than a minute of one CPU core and asks no server
# for anything.
#
# To run it yourself, `pip install -r requirements-dev.txt jupyterlab` and `jupyter lab
# docs/notebook/first_model.ipynb`. Every cell uses the parts that `train.py` and `inference.py`
# are made of. What is written goes to `saved/first_model`.

# %%
import os
import shutil
import sys
from pathlib import Path

root = next(f for f in (Path.cwd(), *Path.cwd().parents) if (f / "inference.py").is_file())
sys.path.insert(0, str(root))
folder = Path(os.environ.get("FIRST_MODEL", root / "saved/first_model"))
shutil.rmtree(folder, ignore_errors=True)  # what an earlier run of this page left

# %%
import torch

from src.utils.seeding import seed_everything

seed_everything(1)  # the same numbers each time
torch.set_num_threads(1)  # in so small a model threads wait for each other longer than they help

# %% [markdown]
# ## Sound
#
# A corpus is a collection of recordings and of what is said in them. Ours is spoken by eSpeak NG,
# a speech synthesiser: ten words by each of 200 voices, with a random level and some noise. It
# lies on the disk as Google's Speech Commands do, one folder for each word. Two lists name the
# recordings that are kept apart: those by which training is watched (*validation*), and those
# which are read once, at the end (*test*). Everything else is for training. No voice is in two
# parts, so the score at the end is for strangers.

# %%
import numpy as np
import soundfile

from scripts.speaking.cast import cast_speakers
from scripts.speaking.clips import SAMPLE_RATE, make_clip
from src.utils.espeak import Espeak

WORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
clips = folder / "clips"
for word in WORDS:
    (clips / word).mkdir(parents=True)

espeak, lists = Espeak(), {"train": [], "validation": [], "test": []}
for speaker in cast_speakers(200, seed=0):
    chance = np.random.default_rng(speaker.seed)
    for word in WORDS:
        name = f"{word}/{speaker.id}_nohash_0.wav"
        soundfile.write(clips / name, make_clip(espeak, word, speaker, chance), SAMPLE_RATE)
        lists[speaker.part].append(name)
(clips / "validation_list.txt").write_text("\n".join(lists["validation"]))
(clips / "testing_list.txt").write_text("\n".join(lists["test"]))
print({part: f"{len(names)} clips" for part, names in lists.items()})

# %% [markdown]
# They are packed into one file, which is quick to read in any order.

# %%
from src.datasets.commands.folder import scan_folder
from src.datasets.commands.writer import write_clips

packed = write_clips(scan_folder(clips), folder / "commands.h5", source="eSpeak NG", n_threads=1)
packed.summary()

# %% [markdown]
# All choices that a training has are written in its *config*: the corpus, the features, the model,
# how fast to learn. We take that of `python train.py -cn=quickstart` and change some values, as
# one would on the command line. `build_trainer` makes objects of it.

# %%
from hydra import compose, initialize_config_dir

from src.build import build_trainer, plain
from src.cli import CONFIGS
from src.logger import JSONL

changes = [
    f"dataset.path={folder / 'commands.h5'}",
    f"text.words={WORDS}",
    "decoder=beam",
    "loader.batch_size=16",
    "loader.n_workers=0",
    "optimizer.lr=4e-3",
    "trainer.n_epochs=7",
    "trainer.log_every=10",
    "trainer.n_examples=0",
    "device=cpu",
]
with initialize_config_dir(str(CONFIGS), version_base="1.3"):
    config = plain(compose("quickstart", [*changes, f"run_dir={folder / 'run'}"]))
trainer = build_trainer(config, folder / "run", JSONL(folder / "run"))

# %% [markdown]
# Here is the first recording of the part for training. Sound is air pressure over time; a
# microphone measures it 16,000 times a second. These numbers are all that there is to start from.

# %%
from IPython.display import Audio

training_set = trainer.train_loader.dataset
utterance = training_set[0]
print(f"“{utterance.transcript}”: {len(utterance.waveform):,} samples, {utterance.waveform[:8]} …")
Audio(utterance.waveform, rate=SAMPLE_RATE)

# %%
import io

from IPython.display import Image as Shown
from PIL import Image

from src.logger.pictures import new_figure, to_rgb


def show(picture, alt):
    """A picture (H, W, 3) uint8 below its cell, with words for those who can't see it."""
    png = io.BytesIO()
    Image.fromarray(picture).quantize(128).save(png, format="PNG", optimize=True)
    return Shown(png.getvalue(), alt=alt, width=picture.shape[1] * 3 // 4)


figure = new_figure(8, 2.4)
axes = figure.subplots()
seconds = np.arange(len(utterance.waveform)) / SAMPLE_RATE
axes.plot(seconds, utterance.waveform / 2**15, linewidth=0.4)
axes.set(xlabel="time, s", ylabel="pressure", xlim=(0, 1), title=f"“{utterance.transcript}”")
show(to_rgb(figure), f"Waveform of the word {utterance.transcript}")

# %% [markdown]
# ## What the model hears
#
# The curve says little to the eye, and not much to a model: the same word makes another curve each
# time. What stays is which pitches are strong when. So every 10 ms a stretch of 25 ms is taken
# apart into frequencies, their energies are summed in 40 bands as wide as the ear tells pitches
# apart (the *mel* scale), and the logarithm is taken, since loudness is felt in ratios. Such a row
# of 40 numbers is a *frame*, all rows together are the *log-mel spectrogram*. At last each band is
# shifted and scaled to mean 0 and deviation 1 over the recording, so that a quiet voice looks like
# a loud one.

# %%
from src.datasets import collate

recognizer = trainer.stepper.recognizer  # front end and model
batch = collate([utterance])  # a batch of one
features, n_frames = recognizer.features(batch.waveforms, batch.waveform_lengths)
print(f"{batch.waveforms.shape[1]:,} samples → {n_frames.item()} frames of {features.shape[2]}")

# %% [markdown]
# Time goes to the right, frequency upwards, bright is loud. Vowels are the stripes that last, an S
# or an F is a cloud high up, and a P or a T is a gap with a short burst.

# %%
from src.logger import spectrogram_with_tokens

picture = spectrogram_with_tokens(features[0].numpy(), recognizer.front_end.hop_s, tokens=[])
show(picture, f"Log-mel spectrogram of the word {utterance.transcript}")

# %% [markdown]
# ## What the model says
#
# The target is written in phonemes, the sounds that a language tells apart. The pronouncing
# dictionary gives them for each word.

# %%
from src.build import build_text
from src.utils.tables import table

text = build_text(config)
print(table([(word, text.target(word)) for word in WORDS], ("word", "phonemes")))

# %% [markdown]
# The model reads the frames and emits its own, one for every four it hears. Each holds a
# probability for every phoneme, and one for the *blank*, which means “nothing new here”. It need
# not know when each phoneme begins and ends. Nobody has told us, and that is the point of what
# follows.

# %%
from src.build import build_transcriber

transcriber = build_transcriber(recognizer, text, config["decoder"], "float32")
emissions = transcriber.emissions(batch)
probabilities = emissions.log_probs[0].exp()  # (emitted frames, tokens)
n_weights = sum(p.numel() for p in recognizer.parameters())
print(f"{n_weights:,} weights, {len(probabilities)} emitted frames × {len(text.vocabulary)} tokens")
print(f"each frame's probabilities sum to {probabilities.sum(1).mean():.3f}")

# %% [markdown]
# Below the spectrogram: the probabilities over time, the blank dotted. The weights of a new model
# are random, so every token is about as likely as every other, and the picture is dull. We will
# see the same one again after training.


# %%
def draw(utterance):
    """What the model hears and says of an utterance, and what is read in that."""
    batch = collate([utterance])
    emissions = transcriber.emissions(batch)
    features, _ = recognizer.features(batch.waveforms, batch.waveform_lengths)
    best = transcriber.predict(emissions, batch)[0].best
    frame_s, symbols = recognizer.frame_s, text.vocabulary.symbols
    heard = [(symbols[t], f * frame_s) for t, f in zip(best.tokens, best.frames, strict=True)]
    return spectrogram_with_tokens(
        features[0].numpy(),
        recognizer.front_end.hop_s,
        heard,
        title=f"said   {utterance.target}\nheard  {best.text}",
        posteriors=emissions.log_probs[0].exp().numpy(),
        frame_s=frame_s,
        symbols=symbols,
    )


show(draw(utterance), "Spectrogram above the posteriors of an untrained model, which are all small")

# %% [markdown]
# ## What CTC sums over
#
# A text says nothing of time: “Y EH S” may be Y in the first frame and S in the last, or all of it
# in the middle. *Connectionist temporal classification* (CTC; Graves et al. 2006) calls a token
# for each frame a *path*, and reads a path by two rules: equal neighbours are merged, then blanks
# are dropped. So `AA_B`, `_A_B` and `ABBB` all say AB, and `A_A` says AA, which without the blank
# between could not be said.
#
# The probability of a text is the sum over all its paths. Here are three frames and two tokens,
# few enough to try every path.

# %%
import itertools
import math
from collections import Counter

FRAMES = [  # of each frame, the probability of each token
    {"_": 0.5, "A": 0.4, "B": 0.1},
    {"_": 0.5, "A": 0.3, "B": 0.2},
    {"_": 0.6, "A": 0.3, "B": 0.1},
]


def spell(path):
    """What a path says."""
    return "".join(token for token, _ in itertools.groupby(path)).replace("_", "")


paths = {
    "".join(path): math.prod(frame[token] for frame, token in zip(FRAMES, path, strict=True))
    for path in itertools.product("_AB", repeat=3)
}
sums = Counter()
for path, p in paths.items():
    sums[spell(path)] += p
print(f"{len(paths)} paths, {sum(paths.values()):.3f} together; they say {len(sums)} texts")
rows = [(path, f"{p:.3f}") for path, p in paths.items() if spell(path) == "AB"]
print(table([*rows, ("sum", f"{sums['AB']:.3f}")], ("says AB", "probability")))

# %% [markdown]
# Words of a second have far too many paths to try. The loss used in training finds the same sum
# with one pass over the frames (dynamic programming), and gives −ln of it: small where the text is
# likely.

# %%
from src.batch import Emissions
from src.loss import CTC
from src.text import Vocabulary

tiny = Vocabulary("_AB")
log_probs = torch.tensor([[list(frame.values()) for frame in FRAMES]]).log()
tiny_emissions = Emissions(log_probs, torch.tensor([3]))
loss = CTC()(tiny_emissions, torch.tensor([tiny.encode("AB")]), torch.tensor([2])).total
print(f"sum over the paths of AB {sums['AB']:.6f}")
print(f"exp(−ctc loss)           {loss.neg().exp():.6f}")
assert math.isclose(sums["AB"], loss.neg().exp(), rel_tol=1e-5)

# %% [markdown]
# ## From probabilities to text
#
# The quickest way is *greedy*: take the likeliest token of each frame, merge, drop blanks. It
# reads the one best path. In our three frames that is three blanks, which say nothing at all. But
# the paths that say A, none of them as likely, are far more likely together.

# %%
best_path = max(paths, key=paths.get)
print(f"best path {best_path}: probability {paths[best_path]:.3f}, says “{spell(best_path)}”")
rows = [(f"“{said}”", f"{p:.3f}") for said, p in sums.most_common(5)]
print(table(rows, ("text", "sum over its paths")))

# %% [markdown]
# *Beam search* keeps the texts that are likeliest so far, and adds up the paths of each while it
# goes from frame to frame. A beam wide enough for all texts finds exactly the sums above; 16 are
# enough in practice.

# %%
from src.decoders import Greedy, PrefixBeam

exact = PrefixBeam(tiny, beam_width=16, token_threshold=None, blank_threshold=None)
[greedy], beam = Greedy(tiny)(tiny_emissions)[0], exact(tiny_emissions)[0]
rows = [("greedy", f"“{greedy.text}”", f"{math.exp(greedy.score):.3f}")]
rows += [("beam", f"“{found.text}”", f"{math.exp(found.score):.3f}") for found in beam]
print(table(rows, ("decoder", "text", "probability")))
assert all(math.isclose(math.exp(found.score), sums[found.text], rel_tol=1e-5) for found in beam)

# %% [markdown]
# ## Training
#
# Training shows the model a few recordings at a time (a *batch*), computes the loss of their true
# texts, and moves each weight a little to where the loss is smaller. Once through all recordings
# is an *epoch*. After each, the validation part is read and its errors are counted: the phoneme
# error rate (PER) is the number of phonemes that are wrong, missing or too many, over the number
# that were said.

# %%
from src.logger import read_log
from src.utils.tables import percent

trainer.train()
log = list(read_log(folder / "run/log.jsonl"))
rows = [
    (
        event["step"] // trainer.steps_per_epoch,
        f"{event['validation/loss']:.2f}",
        percent(event["validation/per"]),
        percent(event["validation/word_error"]),
    )
    for event in log
    if "validation/per" in event
]
print(table(rows, ("epoch", "loss, nats a phoneme", "PER", "words wrong")))

# %%
from src.logger import training_curves

show(training_curves(folder / "run/log.jsonl"), "Loss, error rate and learning rate over the steps")

# %% [markdown]
# Models trained with CTC learn in a way of their own. At first the blank alone wins: it is right
# in most frames whatever is said, and the PER stays at 100 %, as nothing is read. Then the first
# phonemes rise above it, and from there it goes quickly. The learning rate rises at first, lest
# random weights take long steps, and falls to nothing in the end.
#
# ## What it learnt
#
# The same recording as before: short peaks in a sea of blanks. Look where they stand. CTC asks for
# the right order, not for the right time, and this model hears the whole recording in both
# directions before it says anything. So it has found it easiest to say the first phoneme in the
# first frame and the last in the last. The picture in the [README](../../README.md), of a model
# that was trained longer on more words, has them where they are heard; [Frames](../frames.md)
# tells how to learn exact times.

# %%
show(draw(utterance), "Spectrogram above the posteriors: a peak for each phoneme, blanks between")

# %% [markdown]
# Greedy decoding step by step:

# %%
log_probs = transcriber.emissions(batch).log_probs[0]
confidences, path = log_probs.exp().max(1)
symbols = [text.vocabulary.symbols[token] for token in path.tolist()]
merged = [symbol for symbol, _ in itertools.groupby(symbols)]
print("likeliest:", " ".join(symbols))
print("merged:   ", " ".join(merged))
print("no blanks:", " ".join(symbol for symbol in merged if symbol != "_"))
print("said:     ", utterance.target)

# %% [markdown]
# ## How often it is wrong
#
# Now the test part, whose voices neither training nor validation has heard. Rates are summed
# errors over summed length. The brackets hold what the rate may be with other recordings of the
# same kind (95 % bootstrap interval). The *word error* comes from the lexicon: of the ten words,
# the one whose phonemes have the highest sum.

# %%
from src.build import build
from src.predictions import closing_table

test_set = build(config["dataset"]["test"], "dataset.test", text=text)
predictions = []
for start in range(0, len(test_set), 20):
    some = [test_set[i] for i in range(start, min(start + 20, len(test_set)))]
    predictions += transcriber.transcribe(collate(some))
print(closing_table(predictions).split("\n\n")[0])

# %% [markdown]
# And which phonemes are taken for which, the most frequent first:

# %%
from src.metrics import aligned, phonemes

confused = Counter()
for prediction in predictions:
    [(said, heard)] = aligned(phonemes(prediction.target), phonemes(prediction.best.text))
    pairs = zip(said.split(), heard.split(), strict=True)
    confused.update((a, b) for a, b in pairs if a != b)
rows = [(said, heard, n) for (said, heard), n in confused.most_common(6)]
print(table(rows, ("said", "heard", "times")))
print("*** stands where one side has nothing")

# %% [markdown]
# ## One error
#
# Numbers tell how often, a single case tells why. Of the words that were read wrong we take the
# one that the model is surest of.

# %%
wrong = [p for p in predictions if p.read_word != p.word] or predictions
error = max(wrong, key=lambda prediction: prediction.word_posterior)
[index] = [i for i in range(len(test_set)) if test_set[i].id == error.id]
utterance = test_set[index]
[(said, heard)] = aligned(phonemes(error.target), phonemes(error.best.text))
print(f"said   {said}   = {error.word}")
print(f"heard  {heard}   = {error.read_word}, {percent(error.word_posterior)} sure")
Audio(utterance.waveform, rate=SAMPLE_RATE)

# %%
show(draw(utterance), f"Spectrogram and posteriors of {error.word}, heard as {error.best.text}")

# %% [markdown]
# Which phoneme was it? The *alignment* is the likeliest of the paths that say the true text. In
# the frame in which it is surest of each true phoneme (the times are the model's own, see above),
# what it gave that phoneme can be held against what it liked best:

# %%
from src.alignment import align

log_probs = transcriber.emissions(collate([utterance])).log_probs[0]
true = align(log_probs.numpy(), utterance.tokens)
rows = []
for token, frame, end in zip(utterance.tokens, true.first, true.end, strict=True):
    peak = frame + int(log_probs[frame:end, token].argmax())
    liked, time = int(log_probs[peak].argmax()), f"{peak * recognizer.frame_s:.2f} s"
    p = [percent(log_probs[peak, t].exp().item()) for t in (token, liked)]
    rows.append((time, text.vocabulary.symbols[token], p[0], text.vocabulary.symbols[liked], p[1]))
print(table(rows, ("time", "true", "probability", "likeliest", "its probability")))

# %% [markdown]
# The beam's list shows how near the truth was. The lexicon then takes the word whose own phonemes
# have the highest sum, which need not be the top of this list.

# %%
batch = collate([utterance])
loss = CTC()(transcriber.emissions(batch), batch.tokens, batch.token_lengths).total
rows = [(found.text, percent(math.exp(found.score))) for found in error.readings["beam"]]
print(table([*rows, (f"{utterance.target}, the truth", percent(loss.neg().exp().item()))],
            ("text", "sum over its paths")))  # fmt: skip

# %% [markdown]
# ## Where to go next
#
# - The same at full size: `make quickstart` speaks 35 words by 240 voices and reaches an error
#   rate of about one percent in five minutes.
# - Speak yourself: `python inference.py input=my_word.wav checkpoint=saved/first_model/run`. It
#   knows ten words, and synthetic voices only. [Data](../data.md) and [Corpora](../corpora.md) say
#   how to train on people.
# - [Models](../models.md), [Augmentation](../augmentation.md) and [Training](../training.md): what
#   makes a recogniser good.
# - [Decoding](../decoding.md) and [Language models](../LANGUAGE_MODELS.md): sentences instead of
#   single words.
# - [Alignment](../alignment.md): when was each word said.
# - [Scoring](../scoring.md): what an error rate is, and what it hides.
