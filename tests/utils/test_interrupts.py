"""Ctrl-C that waits for the end of a block."""

import os
import signal

import pytest

from src.utils.interrupts import ctrl_c_waits


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
