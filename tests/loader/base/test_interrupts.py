"""The first signal is noted, the second one ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from loader.base.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_the_block_is_noted_and_the_handlers_come_back(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    interrupts = Interrupts()
    with interrupts.held_back():
        assert interrupts.received is None
        os.kill(os.getpid(), number)
        assert interrupts.received is number
    assert signal.getsignal(number) is before


def test_a_signal_cuts_a_wait_short() -> None:
    interrupts = Interrupts()
    with interrupts.held_back():
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        interrupts.sleep(600)
        timer.join()
    assert interrupts.received is signal.SIGTERM


def test_a_wait_after_the_signal_still_waits() -> None:
    clock_began = os.times().elapsed
    interrupts = Interrupts()
    interrupts.received = signal.SIGTERM
    interrupts.sleep(0.2)
    assert os.times().elapsed - clock_began >= 0.1


def test_another_thread_leaves_the_handlers_alone() -> None:
    handlers = []

    def look() -> None:
        with Interrupts().held_back():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_the_same_signal_again_at_once_is_the_first() -> None:
    interrupts = Interrupts()
    with interrupts.held_back():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.received is signal.SIGTERM


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\n"
        "from loader.base.interrupts import Interrupts\n"
        "with Interrupts().held_back():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('second', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "first\n"
    assert ended.returncode == 128 + signal.SIGTERM
