"""VoxForge in its own layout: submissions of many programs and years."""

import pytest

from src.datasets import VoxForge
from src.datasets.corpora.listing import Flaw
from src.datasets.corpora.voxforge import voxforge_rows
from src.text import SpanishCharacters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import append, sound, write_voxforge


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "es"
    write_voxforge(root, "ana-20080501-abc", {"es-0001": "¿Qué tal?", "es-0002": "El año."})
    write_voxforge(root, "ana-20090601-xyz", {"es-0001": "Otra vez."}, sounds="flac")
    write_voxforge(root, "anonymous-20080723-pyp", {"a1": "Mañana."}, encoding="latin-1")
    write_voxforge(root / "packed", "anonymous-20080724-pyq", {"a1": "Sí."})
    return root


def test_all_submissions_are_found_with_their_words_and_speakers(root):
    text = SpanishCharacters()
    corpus = VoxForge(root, "train", text, validation_share=0.0, test_share=0.0)
    found = {u.id: (u.target, u.speaker) for u in corpus}
    assert found == {
        "ana-20080501-abc-es-0001": ("qué tal", "ana"),
        "ana-20080501-abc-es-0002": ("el año", "ana"),
        "ana-20090601-xyz-es-0001": ("otra vez", "ana"),
        "anonymous-20080723-pyp-a1": ("mañana", "anonymous-20080723-pyp"),
        "anonymous-20080724-pyq-a1": ("sí", "anonymous-20080724-pyq"),
    }
    assert [len(u.waveform) for u in corpus] == [8000] * 5


def test_prompts_in_capitals_serve_where_there_are_no_others(root):
    (root / "ana-20080501-abc" / "etc" / "prompts-original").unlink()
    texts = {row.id: row.text for row in voxforge_rows(root)}
    assert texts["ana-20080501-abc-es-0001"] == "¿QUÉ TAL?"


def test_flaws_of_submissions_are_named(root):
    home = root / "ana-20080501-abc"
    (home / "wav" / "es-0002.wav").unlink()
    sound(home / "wav" / "es-0003.wav")
    append(home / "etc" / "prompts-original", "\r\nes-0004\tCon tabulador\r\nes-0005\r\n")
    sound(home / "wav" / "es-0004.wav")
    sound(home / "wav" / "es-0005.wav")
    found = {item.id.removeprefix("ana-20080501-abc-"): item for item in voxforge_rows(home.parent)}
    assert found["es-0002"].reason == "with a transcript but no audio"
    assert found["es-0003"].reason == "with audio but no transcript"
    assert found["es-0004"].text == "Con tabulador"
    assert found["es-0005"].text == ""
    assert sum(isinstance(item, Flaw) for item in found.values()) == 2


def test_each_flaw_is_told_on_the_side_of_its_speaker(tmp_path, caplog):
    for i in range(30):
        home = write_voxforge(tmp_path, f"s{i}-2010-a", {"a1": "sí", "a2": "no"})
        (home / "wav" / "a2.wav").unlink()
    n = 0
    for split in ("train", "validation", "test"):
        caplog.clear()
        corpus = VoxForge(
            tmp_path, split, SpanishCharacters(), validation_share=0.2, test_share=0.2
        )
        assert f"VoxForge {split}: kept {len(corpus)} of {2 * len(corpus)} utter" in caplog.text
        n += len(corpus)
    assert n == 30


def test_a_folder_without_submissions_is_refused(tmp_path):
    (tmp_path / "a" / "etc").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has no submissions of VoxForge.*prepare_data voxforge"):
        VoxForge(tmp_path, "train", None)
