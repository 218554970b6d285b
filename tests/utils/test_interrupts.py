"""Ctrl-C that ends a command in one line, or waits for the end of a block."""

import os
import signal
import sys
import time

import pytest

from src.utils.interrupts import ctrl_c_ends, ctrl_c_waits


def test_ctrl_c_acts_at_the_end_of_the_block_and_the_handler_is_back():
    before = signal.getsignal(signal.SIGINT)
    done = []
    with pytest.raises(KeyboardInterrupt), ctrl_c_waits():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("the rest of the block")
    assert done and signal.getsignal(signal.SIGINT) == before


def test_without_ctrl_c_nothing_happens_and_errors_pass():
    with ctrl_c_waits():
        pass
    with pytest.raises(ZeroDivisionError), ctrl_c_waits():
        raise ZeroDivisionError


def test_ctrl_c_becomes_one_line_and_the_status_that_shells_expect(capsys):
    with pytest.raises(SystemExit) as ended, ctrl_c_ends("pack", "run it again"):
        signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\npack: interrupted; run it again\n"


@pytest.mark.parametrize("seconds", [0.001, 1e-9], ids=["in time", "while it is being sent"])
def test_ctrl_c_counts_also_where_python_drops_what_is_raised(seconds, monkeypatch, capsys):
    monkeypatch.setattr("src.utils.interrupts.AGAIN_SECONDS", seconds)

    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def waits() -> bool:
        del dying[:]
        time.sleep(20)  # the time a signal has to come again
        return True

    dying, outlived = [Dying()], False
    with pytest.raises(SystemExit) as ended, ctrl_c_ends("pack", "run it again"):
        outlived = waits()
    assert ended.value.code == 130 and not outlived
    assert capsys.readouterr().err == "\npack: interrupted; run it again\n"


def test_other_errors_of_destructors_are_shown_as_before(monkeypatch):
    class Dying:
        def __del__(self) -> None:
            raise ValueError("met on the way out")

    shown = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    before = sys.unraisablehook
    with ctrl_c_ends("pack", "run it again"):
        dying = [Dying()]
        del dying[:]
    assert [str(one.exc_value) for one in shown] == ["met on the way out"]
    assert sys.unraisablehook is before
