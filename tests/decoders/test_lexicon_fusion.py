"""Words out of phonemes: every text, every homophone, every n-gram; and lexicons that are wrong."""

import gzip
import itertools
import lzma

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import FusedBeam
from src.language_models import NGram, estimate, write_arpa
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import WIDE, random_emissions, sequence_scores

VOCABULARY = Vocabulary(("_", "|", "AY", "N"), separator=" ")
LEXICON = {"I": ["AY"], "eye": ["AY"], "nigh": ["N AY"], "in": ["AY N", "N"]}
STRANGERS = {"odd": ["N N"], "yon": ["AY N N"]}  # that the model lacks: they share its <unk>
LEXICON |= STRANGERS
TEXTS = ["I nigh eye", "eye in", "nigh in I", "I in", "in eye nigh"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An ARPA file and a lexicon."""
    folder = tmp_path_factory.mktemp("lexicon")
    write_arpa(estimate([text.split() for text in TEXTS], order=3), folder / "words.arpa")
    lines = [f"{word}\t{spelling}" for word, all_ in LEXICON.items() for spelling in all_]
    (folder / "words.lexicon").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return folder / "words.arpa", folder / "words.lexicon"


def read_words(model: NGram, spellings: list[str], weight: float, bonus: float):
    """Score and words of the likeliest reading of a text; None if it has none of our words."""
    options = [[word for word in LEXICON if part in LEXICON[word]] for part in spellings]
    readings = []
    for words in itertools.product(*options):
        log = sum(model.sentence(words))
        log -= np.log(len(STRANGERS)) * sum(word in STRANGERS for word in words)
        readings.append((weight * log + bonus * len(words), words))
    return max(readings, default=None)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 6),
    weight=st.sampled_from([0.0, 0.7, 2.0]),
    bonus=st.sampled_from([-1.0, 0.5]),
)
def test_a_wide_beam_reads_the_words_that_the_definition_does(files, seed, n_frames, weight, bonus):
    arpa, lexicon = files
    model = NGram.load(arpa)
    emissions = random_emissions(seed, [n_frames], n_tokens=4)
    truth, words = {}, {}
    for tokens, acoustic in sequence_scores(emissions.log_probs[0].double().numpy()).items():
        text = VOCABULARY.decode(tokens)
        spellings = [" ".join(part.split()) for part in text.removesuffix("|").split("|")]
        if text.strip() in ("", "|"):
            spellings = [] if not text else [""]
        if (found := read_words(model, spellings, weight, bonus)) is not None:
            text = text.removesuffix("|").strip()
            truth[text] = np.logaddexp(truth.get(text, -np.inf), acoustic + found[0])
            words[text] = found[1]
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, lm_weight=weight, bonus=bonus, **WIDE)
    [n_best] = decoder(emissions)
    assert {h.text: h.score for h in n_best} == pytest.approx(truth, abs=1e-3)
    if weight:  # else homophones are as good as each other
        assert n_best[0].words == words[n_best[0].text]


def test_a_homophone_is_chosen_by_what_stands_on_both_sides_of_it(files):
    arpa, lexicon = files
    model = NGram.load(arpa)
    first = max(("I", "eye"), key=lambda word: model.sentence([word], ends=False))
    chosen = set()
    for rest, path in (("in", [2, 0, 1, 2, 3]), ("nigh", [2, 1, 3, 2, 0])):
        spoken = torch.full((1, 5, 4), -12.0)
        spoken[0, range(5), path] = 0.0  # AY | AY N, and AY | N AY
        decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, lm_weight=1.0)
        [[best, *_]] = decoder(Emissions(spoken.log_softmax(-1), torch.tensor([5])))
        likelier = max(("I", "eye"), key=lambda word: sum(model.sentence([word, rest])))
        assert best.words == (likelier, rest)
        chosen.add(likelier)
    assert chosen - {first}  # so what follows was heard


def test_a_homophone_that_the_model_does_not_know_hides_none_that_it_does(tmp_path):
    unigrams = "-99\t<s>\n-0.5\t</s>\n-0.3\teye\n-0.9\tin\n"  # no <unk>
    arpa = f"\\data\\\nngram 1=4\n\n\\1-grams:\n{unigrams}\n\\end\\\n"
    (tmp_path / "words.arpa").write_text(arpa, encoding="utf-8")
    spoken = torch.full((1, 5, 4), -12.0)
    spoken[0, range(5), [2, 1, 2, 3, 0]] = 0.0  # AY | AY N
    for lines in ("eye AY\nI AY\nin AY N\n", "I AY\neye AY\nin AY N\n"):
        (tmp_path / "lexicon").write_text(lines, encoding="utf-8")
        decoder = FusedBeam(VOCABULARY, tmp_path / "words.arpa", lexicon=tmp_path / "lexicon")
        [[best, *_]] = decoder(Emissions(spoken.log_softmax(-1), torch.tensor([5])))
        assert best.words == ("eye", "in")


def test_a_text_that_breaks_off_within_a_word_says_so(tmp_path, files):
    (tmp_path / "lexicon").write_text("nigh N AY\nin AY N\n", encoding="utf-8")
    decoder = FusedBeam(VOCABULARY, files[0], lexicon=tmp_path / "lexicon", beam_width=1, n_best=1)
    spoken = torch.full((1, 3, 4), -200.0)
    for path, words in (([2, 3, 1], ("in",)), ([3, 2, 2], ("nigh",)), ([3, 3, 3], ("<unk>",))):
        spoken[:] = -200.0
        spoken[0, range(3), path] = 0.0
        [[best, *_]] = decoder(Emissions(spoken.log_softmax(-1), torch.tensor([3])))
        assert best.words == words


def test_mbr_keeps_the_words_of_what_it_chooses(files):
    arpa, lexicon = files
    emissions = random_emissions(5, [6, 4], n_tokens=4, sharpness=1.0)
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, mbr_scale=0.1)
    for n_best in decoder(emissions):
        known = list(itertools.chain(*LEXICON.values()))
        spelt = [part.strip() for part in n_best[0].text.split("|")]
        assert len(n_best[0].words) == len(spelt) and set(spelt) <= set(known)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("I AY\nup AH P\n", r"line 2: 'up' is spelt with 'AH', 'P', which .* \(\| AY N\)"),
        ("I AY\n\nnigh\n", r"line 3: 'nigh' has no symbols; write them behind it, as in: down"),
        ("both AY | N\n", r"line 1: 'both' is spelt with '\|'"),
        ("I AY\n</s> N\n", r"line 2: '</s>' is no word, but a sign of language models; leave it"),
        ("<s> AY\n", r"line 1: '<s>' is no word"),
        ("I AY\n<unk> N\n", r"line 2: '<unk>' is no word"),
        ("\n \n", r"holds no word; a line looks like: down D AW N"),
        ("AYE AY\n", r"no word that can be spelt .*lexicon lists; was it trained on upper"),
        ("I AY\nup \xff", r"bad, line 2: is not UTF-8"),
    ],
)
def test_a_lexicon_that_is_wrong_is_told_by_line(tmp_path, files, content, told):
    (tmp_path / "bad").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=told):
        FusedBeam(VOCABULARY, files[0], lexicon=tmp_path / "bad")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_lexicon_may_be_packed(tmp_path, files, pack):
    arpa, lexicon = files
    (tmp_path / "packed").write_bytes(pack(lexicon.read_bytes()))
    plain, packed = (FusedBeam(VOCABULARY, arpa, lexicon=p) for p in (lexicon, tmp_path / "packed"))
    assert packed.words == plain.words
    emissions = random_emissions(5, [6, 4], n_tokens=4, sharpness=1.0)
    assert packed(emissions) == plain(emissions)
    (tmp_path / "packed").write_bytes(pack(lexicon.read_bytes())[:-5])
    with pytest.raises(UserError, match="packed: could not be read"):
        FusedBeam(VOCABULARY, arpa, lexicon=tmp_path / "packed")


def test_a_missing_lexicon_and_a_word_that_it_lacks(tmp_path, files):
    arpa, lexicon = files
    with pytest.raises(UserError, match=r"decoder.lexicon=.*no such file; python -m scripts"):
        FusedBeam(VOCABULARY, arpa, lexicon=tmp_path / "none")
    with pytest.raises(UserError, match=r"hotwords: 'ear' can't be spelt .* lexicon lacks it"):
        FusedBeam(VOCABULARY, arpa, lexicon=lexicon, hotwords={"ear": 1.0})
    with pytest.raises(UserError, match=r"no space .*name a lexicon with decoder.lexicon=FILE"):
        FusedBeam(VOCABULARY, arpa)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_reads_the_words_that_a_cpu_reads(files):
    arpa, lexicon = files
    emissions = random_emissions(3, [0, 40, 9, 33], n_tokens=4)
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon)
    expected = [n_best[0].words for n_best in decoder(emissions)]
    found = decoder(Emissions(emissions.log_probs.cuda(), emissions.lengths))
    assert [n_best[0].words for n_best in found] == expected


def test_words_without_a_spelling_are_counted(tmp_path, files, caplog):
    (tmp_path / "short").write_text("I AY\nin N\n", encoding="utf-8")
    FusedBeam(VOCABULARY, files[0], lexicon=tmp_path / "short")
    assert "2 of the language model's words have no spelling" in caplog.text
