"""A large manifest: opened without reading it, shared by workers, never stale."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmark_manifest import PART, in_workers, open_corpus
from scripts.benchmarks.synthetic_manifest import write_manifest
from src.datasets import LibriSpeech
from src.datasets.librispeech.index import load_index
from src.text import Characters
from tests.datasets.tiny_corpus import write_chapter

N = 20_000


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    write_manifest(root / PART, root / "index", N)
    return root


def test_a_synthetic_manifest_is_what_a_scan_would_find(synthetic):
    """Also the scan is held: it meets a corpus of 800 folders and finds no audio in it."""
    index, rejections = load_index(synthetic / PART, synthetic / "index")
    scanned, _ = load_index(synthetic / PART, None)
    assert (len(index), len(rejections), len(scanned)) == (N, 0, 0)
    stamps = ("folders", "folder_dates", "lists", "list_stamps")
    found, expected = (set(index.arrays[n].tobytes().split(b"\0")) for n in ("folders", "lists"))
    assert found == set(scanned.arrays["folders"].tobytes().split(b"\0"))
    assert expected == set(scanned.arrays["lists"].tobytes().split(b"\0"))
    assert set(index.arrays) == set(scanned.arrays) and set(stamps) < set(index.arrays)
    assert index.paths[75] == "000000/000001/000000-000001-0025.flac"
    assert index.speakers[index.speaker_codes[150]] == "000001"


def test_workers_read_a_manifest_without_copying_it(synthetic):
    corpus = open_corpus(synthetic)
    assert len(corpus) == N
    for grown, _ in in_workers(corpus, n_reads=2 * N):
        # As Python strings the same rows take 7 MiB.
        assert grown["Private_Dirty"] < 3 and grown["RssAnon"] < 3


def test_a_corpus_is_sent_to_a_worker_as_paths(synthetic):
    for _ in ("selection made", "selection read"):
        corpus = open_corpus(synthetic)
        pickled = pickle.dumps(corpus)
        assert len(pickled) < 3000
        received = pickle.loads(pickled)
        np.testing.assert_array_equal(received.durations_s, corpus.durations_s)
        assert received.ids[-1] == corpus.ids[-1]
        assert received.transcripts[0] == corpus.transcripts[0]


@pytest.fixture
def root(tmp_path) -> Path:
    write_chapter(tmp_path / "a", "1", {"GO UP": 0.5, "STOP": 0.25, "N0": 0.3})
    write_chapter(tmp_path / "b", "2", {"LEFT": 1.0})
    return tmp_path


def opened(root: Path, **keys) -> LibriSpeech:
    return LibriSpeech(root, ["a", "b"], Characters(), index_dir=root / "index", **keys)


def told(corpus: LibriSpeech) -> tuple:
    words = [corpus[i].transcript for i in range(len(corpus))]
    return list(corpus.ids), corpus.durations_s.tolist(), words, list(corpus.transcripts)


@pytest.mark.parametrize(
    "keys", [{}, {"sort": "duration_desc"}, {"limit": 2}, {"min_duration_s": 0.4}]
)
def test_what_is_stored_is_what_would_be_found(root, caplog, keys):
    results, lines = [], []
    for index_dir in (None, root / "index", root / "index"):
        caplog.clear()
        results.append(told(LibriSpeech(root, "a", Characters(), index_dir=index_dir, **keys)))
        lines.append(caplog.messages)
    assert results[0] == results[1] == results[2]
    assert lines[0] == lines[1] == lines[2] != []


def test_other_limits_sides_and_texts_are_other_selections(root):
    opened(root)
    assert len(opened(root, limit=1)) == 1
    assert len(opened(root, max_duration_s=0.6)) == 2
    assert len(LibriSpeech(root, ["b", "a"], None, index_dir=root / "index")) == 4
    assert list(opened(root, sort="duration").ids)[-1] == "2-1-0000"
    assert len(opened(root)) == 3


def test_a_changed_corpus_is_selected_from_anew(root):
    assert len(opened(root)) == 3
    write_chapter(root / "a", "3", {"RIGHT": 0.5})
    assert "3-1-0000" in list(opened(root).ids)
    (root / "a/1/1/1-1-0001.flac").unlink()
    assert "1-1-0001" not in list(opened(root).ids)
    (root / "a/1/1/1-1.trans.txt").write_text("1-1-0000 CHANGED\n")
    assert list(opened(root).transcripts) == ["CHANGED", "RIGHT", "LEFT"]


def test_a_later_start_looks_at_no_transcript_and_lists_no_folder(root):
    expected = told(opened(root))
    for file in root.rglob("*.trans.txt"):  # same size, same dates, other words
        status, folder = file.stat(), file.parent.stat()
        file.write_bytes(b"?" * status.st_size)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.utime(file.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert told(opened(root)) == expected
