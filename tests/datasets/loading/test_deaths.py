"""Reading processes are killed, crash and hang: no batch is lost, repeated or out of order."""

import gc
import logging
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import Dataset

from src.batch import Utterance
from src.datasets import Batches, make_loader
from src.datasets.loading.deaths import deaths_noticed
from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
N = 12
ALL = [f"u{i}" for i in range(N)]


class Fatal(Dataset):
    """Reading utterance 5 is the end of the process: each time, or only the first `n_times`."""

    ids = tuple(ALL)
    durations_s = np.ones(N, np.float32)

    def __init__(self, folder: Path, end, n_times: int | None = None) -> None:
        self.folder = folder
        self.end = end
        self.n_times = n_times

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Utterance:
        if index == 5:
            n_before = len(list(self.folder.iterdir()))
            (self.folder / str(n_before)).touch()
            if self.n_times is None or n_before < self.n_times:
                self.end()
        return Utterance(f"u{index}", np.full(4, index, np.int16))


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def bus_error():
    os.kill(os.getpid(), signal.SIGBUS)


def crashed():
    os.kill(os.getpid(), signal.SIGSEGV)


def left():
    os._exit(3)


def hung():
    time.sleep(10_000)


def loader(dataset, n_workers=2, **keys):
    order = Batches(dataset.durations_s, 2, shuffle=False)
    return make_loader(dataset, order, n_workers=n_workers, **keys)


def names(batches) -> list[str]:
    return [name for batch in batches for name in batch.ids]


def others() -> set[multiprocessing.Process]:
    return set(multiprocessing.active_children())


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
@pytest.mark.parametrize("pin_memory", [False, True])
def test_a_killed_worker_costs_no_batch_and_is_told(tmp_path, caplog, pin_memory):
    reading = loader(Fatal(tmp_path, killed, n_times=1), pin_memory=pin_memory)
    with caplog.at_level(logging.WARNING):
        assert names(reading) == ALL
    assert caplog.text.count("was killed by SIGKILL, as the system does when memory runs") == 1
    assert names(reading) == ALL  # the next pass as well


def test_workers_that_die_again_and_again_end_the_run_with_one_sentence(tmp_path):
    seen = []
    with pytest.raises(UserError) as error:
        for batch in loader(Fatal(tmp_path, killed)):
            seen += batch.ids
    assert seen == ALL[:4]
    assert str(error.value) == (
        "Reading processes died 4 times in a row, the last one was killed by SIGKILL, as the "
        "system does when memory runs out. Lower loader.n_workers, loader.prefetch or the size "
        "of a batch. They were to read u4, u5."
    )
    assert len(list(tmp_path.iterdir())) <= 5  # the first may have died with batches before it


def test_deaths_with_a_batch_in_between_are_no_series(tmp_path):
    class Often(Fatal):
        """Each utterance but the first is the end of the process, once."""

        def __getitem__(self, index):
            marker = self.folder / str(index)
            if index and not marker.exists():
                marker.touch()
                killed()
            return Utterance(f"u{index}", np.zeros(1, np.int16))

    reading = loader(Often(tmp_path, killed), n_workers=1)
    reading.batch_sampler.batch_size = 1
    assert names(reading) == ALL
    assert len(list(tmp_path.iterdir())) == N - 1


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (bus_error, "SIGBUS, as happens when shared memory runs out. Give /dev/shm more room"),
        (crashed, "SIGSEGV, so something in it crashed. Read with loader.n_workers=0 to see"),
        (left, "the last one ended with status 3. Read with loader.n_workers=0 to see"),
    ],
)
def test_each_way_to_die_has_its_advice(tmp_path, end, told):
    with pytest.raises(UserError) as error:
        names(loader(Fatal(tmp_path, end), n_workers=1))
    assert told in str(error.value)


def test_a_hanging_worker_is_replaced_after_the_time_allowed(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert names(loader(Fatal(tmp_path, hung, n_times=1), timeout_s=1.0)) == ALL
    assert "A reading process gave nothing for 1 s (loader.timeout_s)." in caplog.text
    with pytest.raises(UserError, match=r"4 times in a row.*Is a network disk gone\?.*read u4, u5"):
        names(loader(Fatal(tmp_path, hung), timeout_s=0.3))


class SlowToStart(Fatal):
    """Takes longer to be handed to a new process than a batch may take."""

    def __getstate__(self):
        time.sleep(0.5)
        return self.__dict__


def test_workers_that_start_too_late_are_noticed_too(tmp_path):
    reading = loader(SlowToStart(tmp_path, killed, n_times=0), n_workers=1, timeout_s=0.2)
    reading.reader.multiprocessing_context = "spawn"
    with pytest.raises(UserError, match=r"4 times in a row, the last one gave nothing for 0\.2 s"):
        names(reading)


def test_workers_killed_between_batches_and_between_passes_cost_nothing(tmp_path):
    before = others()
    reading = loader(Fatal(tmp_path, killed, n_times=0))
    for kill_after in (0, 3, N // 2):
        seen = []
        for batch in reading:
            seen += batch.ids
            if len(seen) == 2 * kill_after:
                for worker in others() - before:
                    worker.kill()
        assert seen == ALL
        for worker in others() - before:
            worker.kill()


def test_a_death_is_never_raised_in_the_middle_of_a_step(tmp_path):
    before = others()
    reading = iter(loader(Fatal(tmp_path, killed, n_times=0)))
    first = next(reading).ids
    for worker in others() - before:
        worker.kill()
        worker.join()
    for _ in range(1000):  # PyTorch's handler would raise here, where no reading is going on
        time.sleep(0)
    assert first + names(reading) == ALL


class EndsOnceSeenAlive(multiprocessing.get_context("fork").Process):
    """Who asks how it is doing is told that it lives, and at that moment it ends well."""

    lives = True

    @property
    def exitcode(self):
        if not self.lives:
            return super().exitcode
        self.lives = False
        self.may_end.set()
        self.join()
        return None

    def run(self):
        self.may_end.wait()


def test_a_reader_that_finishes_between_two_looks_at_it_is_no_death():
    worker = EndsOnceSeenAlive()
    worker.may_end = multiprocessing.get_context("fork").Event()
    worker.start()
    with deaths_noticed(lambda: [worker], None, well=(None, 0)):
        time.sleep(0)
    assert worker.exitcode == 0


def test_batches_come_in_order_however_slow_one_worker_is(tmp_path):
    class Uneven(Fatal):
        def __getitem__(self, index):
            time.sleep(0.05 if index % 4 < 2 else 0)  # every other batch
            return Utterance(f"u{index}", np.zeros(1, np.int16))

    assert names(loader(Uneven(tmp_path, killed), n_workers=2)) == ALL


def test_open_files_of_all_processes_stay_the_same_over_many_passes(tmp_path):
    before = others()
    reading = loader(Fatal(tmp_path, killed, n_times=0), prefetch=3)
    counts = []
    for _ in range(20):
        assert names(reading) == ALL
        gc.collect()
        workers = others() - before
        counts.append([len(list(Path(f"/proc/{p}/fd").iterdir())) for p in pids(workers)])
    early, late = np.array(counts[2:7]).max(0), np.array(counts[-5:]).max(0)
    assert (late - early < 10).all()  # some are on their way; a leak of one a batch would be 60


def pids(workers) -> list[int]:
    return [os.getpid(), *sorted(worker.pid for worker in workers)]


class Large(Fatal):
    """Six megabytes an utterance."""

    def __getitem__(self, index: int) -> Utterance:
        return Utterance(f"u{index}", np.zeros(3_000_000, np.int16))


def test_a_reader_says_nothing_where_its_listener_leaves_amid_the_greeting():
    code = (
        "import os, socket, sys, time\n"
        "from multiprocessing.resource_sharer import DupFd, _resource_sharer\n"
        "from src.datasets.loading.reading import start_worker\n"
        "start_worker(0)\n"
        "hook, met = sys.excepthook, []\n"
        "sys.excepthook = lambda kind, *more: (hook(kind, *more), met.append(kind))\n"
        "shared = DupFd(os.open('/dev/null', os.O_RDONLY))\n"
        "with socket.socket(socket.AF_UNIX) as guest:\n"
        "    guest.connect(_resource_sharer._address)\n"
        "    guest.recv(1000)\n"  # all of the challenge, which gets no answer
        "while not met: time.sleep(0.01)\n"
        "print(met[0].__name__)\n"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("EOFError\n", "")


def test_full_shared_memory_ends_the_run_with_advice():
    small = "mount -t tmpfs -o size=4m tmpfs /dev/shm && "
    alone = ["unshare", "-rm", "bash", "-c"]  # a /dev/shm of its own
    if not shutil.which("unshare") or subprocess.run([*alone, small + "true"]).returncode:
        pytest.skip("needs the right to mount a /dev/shm of its own")
    code = (
        "from tests.datasets.loading.test_deaths import Large, loader, names\n"
        "names(loader(Large(None, None), n_workers=1))\n"
    )
    command = small + shlex.join([sys.executable, "-c", code])
    run = subprocess.run([*alone, command], cwd=ROOT, capture_output=True, text=True)
    assert "UserError: No shared memory is left to hand batches over. Give /dev/shm" in run.stderr


def test_memory_stays_flat_over_thousands_of_batches(tmp_path):
    before = others()
    reading = loader(Fatal(tmp_path, killed, n_times=0), n_workers=1)
    reading.batch_sampler.batch_size = 1
    kilobytes = []
    for _ in range(200):
        assert names(reading) == ALL
        kilobytes.append([resident_kb(pid) for pid in pids(others() - before)])
    early, late = np.array(kilobytes[80:100]).max(0), np.array(kilobytes[-20:]).max(0)
    assert (late - early < 1024).all()


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
