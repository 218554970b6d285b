"""The benchmark of manifests measures what it says, in real processes."""

import pytest

from scripts.benchmark_manifest import main


def test_a_small_manifest_is_made_opened_twice_and_cleared_away(tmp_path, capsys):
    main(["--n", "2000", "--n_reads", "500", "--folder", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "2,000 utterances made in" in printed
    for line in ("first opening", "every later opening", "an epoch planned"):
        assert line in printed
    assert printed.count("a forked worker reads 500 rows") == 4
    assert "sent to a spawned worker" in printed
    assert list(tmp_path.iterdir()) == []


def test_too_few_utterances_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--n", "3"])
    assert "--n: 3 is not a whole number from 100 up" in capsys.readouterr().err
