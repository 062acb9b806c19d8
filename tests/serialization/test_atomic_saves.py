"""A file is the old one or the new one, whole, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import torchplug as torch
from torchplug.serialization import archive_writer


class Unpicklable:
    def __reduce__(self):
        raise OSError("the disk is on fire")


def test_a_failed_save_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save([torch.ones(100)], path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="on fire"):
        torch.save([torch.zeros(100), Unpicklable()], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_save_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    torch.save([torch.ones(100)], path)
    before = path.read_bytes()
    written = archive_writer.ArchiveWriter.write_record

    def failing(self, name, data):
        if name == "data/1":
            raise OSError(28, "No space left on device")
        written(self, name, data)

    monkeypatch.setattr(archive_writer.ArchiveWriter, "write_record", failing)
    with pytest.raises(OSError, match="No space left"):
        torch.save([torch.zeros(100), torch.zeros(50)], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_permissions_of_an_existing_file_are_kept(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    path.chmod(0o640)
    torch.save(1, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "any").touch()
    torch.save(1, tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_link_keeps_pointing_to_the_file_it_names(tmp_path):
    target = tmp_path / "real.pt"
    target.write_bytes(b"old")
    link = tmp_path / "latest.pt"
    link.symlink_to(target)
    torch.save([1], link)
    assert link.is_symlink()
    assert torch.load(target) == [1]


def test_what_is_no_regular_file_is_written_directly():
    torch.save([torch.ones(2)], os.devnull)
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


def test_a_name_without_a_folder_is_saved_where_we_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save([1], "here.pt")
    assert torch.load("here.pt") == [1]


SAVER = """
import sys
import torchplug as torch
path, start = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for number in range(start, 10**9):
    torch.save({"number": number, "data": torch.full((200000,), float(number))}, path)
    print(number, flush=True)
"""


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("rounds", [int(os.environ.get("TORCHPLUG_KILLS", "12"))])
def test_a_process_killed_while_saving_leaves_a_whole_file(tmp_path, rounds):
    path = tmp_path / "checkpoint.pt"
    torch.save({"number": -1, "data": torch.full((200000,), -1.0)}, path)
    last = -1
    for kill in range(rounds):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path), str(last + 1)],
            stdout=subprocess.PIPE,
            env=_environment(),
            text=True,
        ) as saver:
            assert saver.stdout.readline() == "ready\n"
            if kill % 3:
                saver.stdout.readline()
            time.sleep(0.0007 * kill)
            saver.send_signal(signal.SIGKILL)
            seen = saver.stdout.read().split()
        loaded = torch.load(path)
        assert loaded["number"] >= (int(seen[-1]) if seen else last)
        assert (loaded["data"] == loaded["number"]).all()
        last = loaded["number"]
    torch.save({"number": last, "data": torch.zeros(1)}, tmp_path / "another.pt")


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_are_not(tmp_path):
    from torchplug.serialization import atomic

    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    machine = atomic._machine()
    leftover = tmp_path / f".checkpoint.pt.{machine}-{dead.pid}.0a1b2c3d.torchplug-part"
    living = tmp_path / f".checkpoint.pt.{machine}-{os.getppid()}.0a1b2c3d.torchplug-part"
    elsewhere = tmp_path / f".checkpoint.pt.another_machine-{dead.pid}.0a1b2c3d.torchplug-part"
    for part in (leftover, living, elsewhere):
        part.write_bytes(b"half a file")
    torch.save([1], tmp_path / "checkpoint.pt")
    assert not leftover.exists()
    assert living.exists()
    assert elsewhere.exists()
