"""A neural language model's say in the best readings: all choices of homophones, by the formula."""

import itertools

import numpy as np
import pytest
import torch

from src.batch import Emissions
from src.decoders import FusedBeam
from src.decoders.rescoring import STRANGE, Rescorer
from src.language_models import NeuralLM, NGram, estimate, write_arpa
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import WIDE, random_emissions, sequence_scores

VOCABULARY = Vocabulary(("_", "|", "AY", "N"), separator=" ")
LEXICON = {"I": ["AY"], "eye": ["AY"], "nigh": ["N AY"], "in": ["AY N", "N"]}
LEXICON |= {"odd": ["N N"], "yon": ["N N N"]}  # unknown to the model: they share its <unk>
TEXTS = ["I nigh eye", "eye in", "nigh in I", "I in", "in eye nigh"]  # "odd" is unknown to it
PIECES = ("▁", "I", "▁e", "y", "e", "▁n", "i", "g", "h", "n", "▁o", "d")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An ARPA file, a lexicon and a neural model."""
    folder = tmp_path_factory.mktemp("rescoring")
    write_arpa(estimate([text.split() for text in TEXTS], order=3), folder / "words.arpa")
    lines = [f"{word} {spelling}" for word, all_ in LEXICON.items() for spelling in all_]
    (folder / "words.lexicon").write_text("\n".join(lines) + "\n", encoding="utf-8")
    torch.manual_seed(2)
    model = NeuralLM(PIECES, width=16, n_layers=1)
    torch.nn.init.normal_(model.embedding.weight, std=2.0)
    model.save(folder / "neural.safetensors")
    return folder / "words.arpa", folder / "words.lexicon", folder / "neural.safetensors"


def every_reading(emissions: Emissions, files, share: float, weight: float, bonus: float):
    """Score of each text of words, by its best spelling."""
    model, rescorer = NGram.load(files[0]), Rescorer(files[2], 0.5, 9)
    found: dict[tuple[str, str], float] = {}
    acoustic: dict[str, float] = {}
    for tokens, log in sequence_scores(emissions.log_probs[0].double().numpy()).items():
        spelt = VOCABULARY.decode(tokens).removesuffix("|").strip()
        if VOCABULARY.decode(tokens).strip() != "|":
            acoustic[spelt] = np.logaddexp(acoustic.get(spelt, -np.inf), log)
    for spelt, log in acoustic.items():
        parts = [part.strip() for part in spelt.split("|")] if spelt else []
        options = [[word for word in LEXICON if part in LEXICON[word]] for part in parts]
        for words in itertools.product(*options):
            n_gram = sum(model.sentence(list(words)))
            n_gram -= np.log(2) * sum(word in ("odd", "yon") for word in words)
            neural = rescorer.log_probs([" ".join(words)])[0]
            mixed = (1 - share) * n_gram + share * neural
            found[spelt, " ".join(words)] = log + weight * mixed + bonus * len(words)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("share", "weight", "bonus"), [(0.7, 1.3, 0.5), (1, 0.8, -1.0), (0, 1, 0)])
def test_the_best_words_are_those_of_the_formula(files, seed, share, weight, bonus):
    arpa, lexicon, neural = files
    emissions = random_emissions(seed, [4], n_tokens=4)
    truth = every_reading(emissions, files, share, weight, bonus)
    decoder = FusedBeam(
        VOCABULARY, arpa, weight, bonus, lexicon=lexicon, rescorer=neural, rescorer_share=share,
        n_rescored=5000, **WIDE,
    )  # fmt: skip
    [n_best] = decoder(emissions)
    found = {(h.text, " ".join(h.words)): h.score for h in n_best}
    assert len(found) >= 10
    assert found == pytest.approx({key: truth[key] for key in found}, abs=1e-3)
    assert n_best[0].score == pytest.approx(max(truth.values()), abs=1e-3)
    assert [h.score for h in n_best] == sorted((h.score for h in n_best), reverse=True)
    for h in n_best:
        assert h.score == pytest.approx(h.acoustic + h.language, abs=1e-4)


def test_a_homophone_is_chosen_by_what_comes_after_it_too(files):
    arpa, lexicon, neural = files
    spoken = torch.full((1, 5, 4), -12.0)
    spoken[0, range(5), [2, 1, 3, 2, 0]] = 0.0  # AY | N AY
    emissions = Emissions(spoken.log_softmax(-1), torch.tensor([5]))
    by_share = set()
    for share in (0.0, 1.0):
        decoder = FusedBeam(
            VOCABULARY, arpa, lexicon=lexicon, rescorer=neural, rescorer_share=share
        )
        [[best, *_]] = decoder(emissions)
        assert best.text == "AY | N AY" and len(best.frames) == 4 and best.words[1] == "nigh"
        ngram = NGram.load(arpa)
        rescorer = Rescorer(neural, share, 9)
        expected = max(
            ("I", "eye"),
            key=lambda w: (
                (1 - share) * sum(ngram.sentence([w, "nigh"]))
                + share * rescorer.log_probs([f"{w} nigh"])[0]
            ),
        )
        assert best.words[0] == expected
        by_share.add(best.words[0])
    assert len(by_share) == 2  # so the neural model was heard


def test_letters_with_a_model_of_words_or_of_letters(tmp_path, files):
    vocabulary = Vocabulary(("_", " ", "i", "n"))
    emissions = random_emissions(2, [5, 3], n_tokens=4)
    cases = {"word": [["in", "i"], ["i", "in"], ["nin"]], "letter": [list("ini"), list("nni")]}
    for name, text in cases.items():
        write_arpa(estimate(text, order=2), tmp_path / f"{name}.arpa")
        kept = {"lm_weight": 0.9, "bonus": 0.2, "beam_width": 200, "n_best": 200}
        plain = FusedBeam(vocabulary, tmp_path / f"{name}.arpa", **kept)
        second = FusedBeam(
            vocabulary,
            tmp_path / f"{name}.arpa",
            rescorer=files[2],
            rescorer_share=0.6,
            n_rescored=200,
            **kept,
        )
        rescorer, ngram = Rescorer(files[2], 0.6, 9), NGram.load(tmp_path / f"{name}.arpa")
        for before, after in zip(plain(emissions), second(emissions), strict=True):
            by_text = {h.text: h.score for h in before}
            assert len(before) == len(after) > 3
            for h in after:
                units = h.text.split() if name == "word" else list(h.text)
                units = ["<space>" if unit == " " else unit for unit in units]
                change = rescorer.log_probs([h.text])[0] - sum(ngram.sentence(units))
                # Two texts may write the same: a space at the start spells nothing.
                assert h.score == pytest.approx(by_text[h.text] + 0.9 * 0.6 * change, abs=1e-3)


def test_only_the_best_readings_are_judged(files):
    arpa, lexicon, neural = files
    emissions = random_emissions(1, [5], n_tokens=4)
    keys = {"lexicon": lexicon, "rescorer": neural, "n_best": 20}
    few = FusedBeam(VOCABULARY, arpa, n_rescored=3, **keys | {"n_best": 1})(emissions)[0]
    before = FusedBeam(VOCABULARY, arpa, rescorer_share=0.0, **keys)(emissions)[0]
    after = FusedBeam(VOCABULARY, arpa, **keys)(emissions)[0]
    rank = {(h.text, h.words): i for i, h in enumerate(before)}
    best = min(
        range(len(after)), key=lambda i: (rank.get((after[i].text, after[i].words), 99) >= 3, i)
    )
    assert (few[0].text, few[0].words) == (after[best].text, after[best].words)


def test_an_utterance_of_nothing_and_one_that_nothing_fits(files):
    arpa, lexicon, neural = files
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, rescorer=neural)
    empty = Emissions(torch.zeros(1, 0, 4), torch.tensor([0]))
    [[h]] = decoder(empty)
    assert h.text == "" and h.words == ()
    only_boundary = torch.full((1, 1, 4), -200.0)
    only_boundary[0, 0, 1] = 0.0
    [n_best] = decoder(Emissions(only_boundary.log_softmax(-1), torch.tensor([1])))
    assert n_best[0].words == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_reads_as_the_cpu_does(files):
    arpa, lexicon, neural = files
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, rescorer=neural)
    log_probs, lengths = random_emissions(4, [6, 4], n_tokens=4)
    on_cpu = decoder(Emissions(log_probs, lengths))
    on_gpu = decoder(Emissions(log_probs.cuda(), lengths))
    for here, there in zip(on_cpu, on_gpu, strict=True):
        assert [(h.text, h.words) for h in here] == [(h.text, h.words) for h in there]


def test_signs_without_a_piece_cost_something(files):
    rescorer = Rescorer(files[2], 0.5, 9)
    plain, strange = rescorer.log_probs(["in", "inß"])
    assert strange == pytest.approx(plain + STRANGE, abs=1e-5)


def test_as_many_prefixes_are_read_as_are_judged_and_n_best_are_told(files):
    arpa, lexicon, neural = files
    emissions = random_emissions(3, [6], n_tokens=4)
    keys = {"lexicon": lexicon, "rescorer": neural, "beam_width": 64}
    for n_rescored, n_best in ((1, 1), (8, 2), (64, 5), (64, 64)):
        decoder = FusedBeam(VOCABULARY, arpa, n_rescored=n_rescored, n_best=n_best, **keys)
        assert decoder.n_judged == max(n_rescored, n_best)
        [found] = decoder(emissions)
        assert len(found) == n_best
    first = FusedBeam(VOCABULARY, arpa, n_rescored=1, n_best=1, **keys)(emissions)[0][0]
    alone = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, beam_width=64)(emissions)[0][0]
    assert first.tokens == alone.tokens and first.words == alone.words


def test_of_a_word_that_nobody_spells_the_neural_model_has_no_opinion(files):
    arpa, lexicon, neural = files
    emissions = random_emissions(6, [5], n_tokens=4)
    keys = {"lexicon": lexicon, "unknown": -0.5, "beam_width": 200, "n_best": 200}
    before = {(h.text, h.words): h.score for h in FusedBeam(VOCABULARY, arpa, **keys)(emissions)[0]}
    [after] = FusedBeam(VOCABULARY, arpa, rescorer=neural, n_rescored=999, **keys)(emissions)
    unknown = [h for h in after if "<unk>" in h.words and (h.text, h.words) in before]
    assert len(unknown) > 5
    for h in unknown:
        assert h.score == pytest.approx(before[h.text, h.words], abs=1e-4)


def test_pieces_of_other_letters_and_pieces_that_begin_no_word_are_refused(tmp_path, files):
    NeuralLM(("▁", "A", "B"), width=8).save(tmp_path / "upper")
    with pytest.raises(UserError, match=r"none of the letters of this model's words \(I d e g"):
        FusedBeam(VOCABULARY, files[0], lexicon=files[1], rescorer=tmp_path / "upper")
    NeuralLM(("A", "B"), width=8).save(tmp_path / "none")
    with pytest.raises(UserError, match=r"none: text.pieces: expected ▁ among them"):
        FusedBeam(VOCABULARY, files[0], lexicon=files[1], rescorer=tmp_path / "none")


def test_what_is_impossible_stays_so(files):
    arpa, lexicon, neural = files
    silent = torch.full((1, 2, 4), -torch.inf)
    silent[0, :, 3] = 0.0  # N alone, which is "in"
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, rescorer=neural)
    [n_best] = decoder(Emissions(silent, torch.tensor([2])))
    assert n_best[0].words == ("in",) and all(h.score > -torch.inf for h in n_best)


def test_weights_may_change_between_two_readings(files):
    arpa, lexicon, neural = files
    emissions = random_emissions(8, [5], n_tokens=4)
    decoder = FusedBeam(VOCABULARY, arpa, 0.3, 0.1, lexicon=lexicon, rescorer=neural)
    decoder(emissions)
    decoder.fusion.reweigh(1.2, -0.4)
    fresh = FusedBeam(VOCABULARY, arpa, 1.2, -0.4, lexicon=lexicon, rescorer=neural)
    assert decoder(emissions) == fresh(emissions)


def test_phonemes_without_a_lexicon_are_no_words(tmp_path, files):
    write_arpa(estimate([["AY", "N"], ["N", "|"]], order=2), tmp_path / "phonemes.arpa")
    with pytest.raises(UserError, match=r"judges words, but this model writes \| AY N; name a dec"):
        FusedBeam(VOCABULARY, tmp_path / "phonemes.arpa", rescorer=files[2])


@pytest.mark.parametrize("n", [0, 2.5, None])
def test_a_number_of_readings_that_is_none_is_refused(files, n):
    with pytest.raises(UserError, match=f"decoder.n_rescored is {n}; at least 1 reading"):
        FusedBeam(VOCABULARY, files[0], lexicon=files[1], rescorer=files[2], n_rescored=n)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", None, True])
@pytest.mark.parametrize("has_rescorer", [True, False])
def test_a_share_that_is_none_is_refused(files, share, has_rescorer):
    rescorer = files[2] if has_rescorer else None
    with pytest.raises(UserError, match=f"decoder.rescorer_share is {share}; expected a number"):
        FusedBeam(VOCABULARY, files[0], lexicon=files[1], rescorer=rescorer, rescorer_share=share)


def test_a_batch_reads_as_its_utterances_alone(files):
    arpa, lexicon, neural = files
    decoder = FusedBeam(VOCABULARY, arpa, lexicon=lexicon, rescorer=neural, n_best=3)
    batch = random_emissions(9, [6, 0, 3], n_tokens=4)
    for i, together in enumerate(decoder(batch)):
        n = int(batch.lengths[i])
        alone = Emissions(batch.log_probs[i : i + 1, :n], batch.lengths[i : i + 1])
        [expected] = decoder(alone)
        assert [(h.text, h.words) for h in together] == [(h.text, h.words) for h in expected]
        scores = [h.score for h in expected]
        assert [h.score for h in together] == pytest.approx(scores, abs=1e-4)
