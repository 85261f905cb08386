"""Files on flash: whatever happens and whenever, the base is the old or the new one."""

from __future__ import annotations

import os
import random
import subprocess
import time
from array import array

import pytest

import device_lab as lab
import interpreters
from fedboard import DataError, StateError, model
from fedboard.base import MemoryBase
from fedboard_device import store
from power_cut import Power, PowerCut

SPEC = model.Spec((20, 15, 5), seed=3)


def params_of(version: int) -> array[int]:
    params = lab.start_params(SPEC)
    params[0] = version
    params[-1] = -version
    return params


def write(base: store.FileBase, version: int, block: int = 128) -> bytes:
    params = params_of(version)
    base.begin(SPEC.pack())
    for at in range(0, len(params), block):
        base.write(params[at : at + block])
    digest = SPEC.digest(params)
    base.commit(version, digest)
    return digest


def check(folder: str, allowed: set[int]) -> int:
    """The version of the base that is found there, sound and one of `allowed` (0: none)."""
    said: list[str] = []
    base = store.FileBase(folder, said.append)
    try:
        assert base.version in allowed, said
        if base.version:
            params = params_of(base.version)
            assert base.spec_bytes == SPEC.pack()
            assert base.digest == SPEC.digest(params)
            assert everything(base) == params
        assert said == []
        return base.version
    finally:
        base.close()


def everything(base: store.FileBase) -> array[int]:
    out = model.new_params(SPEC)
    base.read(0, out)
    return out


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "some" / "data")


def test_base_equals_memory_base(folder):
    """The same calls on both give the same answers."""
    here = store.FileBase(folder, print)
    there = MemoryBase()
    rng = random.Random(1)
    for version in (1, 2, 3):
        params = params_of(version)
        for base in (here, there):
            base.begin(SPEC.pack())
            base.write(array("h", [9] * 5))
            base.begin(SPEC.pack())  # drops what was begun before
        at = 0
        while at < len(params):
            n = rng.randrange(1, 140)
            here.write(params[at : at + n])
            there.write(params[at : at + n])
            at += n
        for _ in range(20):
            n = rng.randrange(1, 100)
            at = rng.randrange(0, SPEC.n_params - n)
            a, b = array("h", bytes(2 * n)), array("h", bytes(2 * n))
            here.read_staged(at, a)
            there.read_staged(at, b)
            assert a == b
            if version > 1:
                here.read(at, a)
                there.read(at, b)
                assert a == b == params_of(version - 1)[at : at + n]
        for base in (here, there):
            base.commit(version, SPEC.digest(params))
        assert (here.version, here.digest) == (there.version, there.digest)
        assert here.spec_bytes == there.spec_bytes
        assert everything(here) == params
    here.close()
    assert check(folder, {3}) == 3


def test_base_used_wrongly(folder):
    base = store.FileBase(folder, print)
    block = array("h", [1, 2, 3])
    for call in (
        lambda: base.read(0, block),
        lambda: base.write(block),
        lambda: base.read_staged(0, block),
        lambda: base.commit(1, bytes(8)),
    ):
        with pytest.raises(StateError):
            call()
    write(base, 1)
    for at in (-1, SPEC.n_params - 2):
        with pytest.raises(StateError):
            base.read(at, block)
    base.begin(SPEC.pack())
    base.write(block)
    with pytest.raises(StateError):
        base.read_staged(1, block)
    base.abort()
    assert base.version == 1
    base.close()


def test_keeps_the_last_one(folder):
    base = store.FileBase(folder, print)
    write(base, 1)
    write(base, 2)
    base.close()
    with open(folder + "/base.bin", "r+b") as file:
        file.seek(100)
        file.write(b"damage")
    said: list[str] = []
    base = store.FileBase(folder, said.append)
    assert base.version == 1
    assert everything(base) == params_of(1)
    assert "set aside as base.bad" in said[0]
    write(base, 3)
    base.close()
    assert check(folder, {3})
    assert os.path.exists(folder + "/base.bad")


def test_any_damage_is_noticed(folder):
    base = store.FileBase(folder, print)
    write(base, 1)
    base.close()
    path = folder + "/base.bin"
    with open(path, "rb") as file:
        whole = file.read()
    broken = [whole[:n] for n in [*range(0, 60), *range(60, len(whole), 7)]] + [whole + b"x"]
    rng = random.Random(2)
    for _ in range(60):
        at = rng.randrange(len(whole))
        broken.append(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
    for data in broken:
        with open(path, "wb") as file:
            file.write(data)
        said: list[str] = []
        base = store.FileBase(folder, said.append)
        assert base.version == 0
        assert len(said) == 1
        base.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fat", [False, True])
def test_power_cut_at_each_operation(folder, monkeypatch, fat):
    cut_at = 0
    version = 0
    while True:
        with monkeypatch.context() as patch:
            Power(cut_at, fat).rule(patch, store)
            try:
                base = store.FileBase(folder, print)
                write(base, version + 1)
                base.close()
                done = True
            except PowerCut:
                done = False
        version = check(folder, {version, version + 1})
        if done:
            break
        cut_at += 1
    assert cut_at > 10


FOREVER = """
import sys
sys.path.insert(0, sys.argv[1])
from array import array
from fedboard import model
from fedboard_device.store import FileBase
spec = model.Spec((20, 15, 5), seed=3)
params = model.new_params(spec)
model.init_params(spec, params)
base = FileBase(sys.argv[2], print)
version = base.version
print("ready")
while True:
    version += 1
    params[0] = version
    params[-1] = -version
    base.begin(spec.pack())
    for at in range(0, len(params), 64):
        base.write(params[at : at + 64])
    base.commit(version, spec.digest(params))
"""


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_killed_while_it_writes(folder, tmp_path, name, request):
    if name == "micropython":
        request.getfixturevalue("micropython")
    command = interpreters.runtime(name).command
    script = tmp_path / "forever.py"
    script.write_text(FOREVER)
    rng = random.Random(3)
    version = 0
    for _ in range(15):
        arguments = [*command, str(script), str(lab.MAIN.parent), folder]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline().strip() == b"ready"
            time.sleep(rng.random() * 0.05)
            process.kill()
        version = check(folder, set(range(version, version + 100000)))
    assert version > 0


def test_flash_full(folder, monkeypatch):
    base = store.FileBase(folder, print)
    write(base, 1)

    def full(data):
        raise OSError(28, "ENOSPC")

    base.begin(SPEC.pack())
    monkeypatch.setattr(base._writer, "_write", full)
    with pytest.raises(DataError, match="flash is full"):
        base.write(array("h", [1]))
    assert everything(base) == params_of(1)
    write(base, 2)
    base.close()
    assert check(folder, {2})


def test_rename_fails(folder, monkeypatch):
    base = store.FileBase(folder, print)
    write(base, 1)
    calls = []

    def replace(old, new):
        calls.append(new)
        if len(calls) == 2:
            raise OSError(5, "EIO")
        os.replace(old, new)

    monkeypatch.setattr(store, "replace", replace)
    with pytest.raises(DataError, match="not writable"):
        write(base, 2)
    assert base.version in (1, 2)
    assert everything(base) == params_of(base.version)
    base.close()


def test_writes_are_counted_and_bounded_by_the_hour(tmp_path):
    now_ms = 0
    wear = store.Wear(2, lambda: now_ms)
    base = store.FileBase(str(tmp_path), print, wear=wear)
    own = store.FileBase(str(tmp_path), print, "own", wear)
    try:
        write(base, 1)
        write(own, 1)
        with pytest.raises(DataError, match=r"2 models in this hour.*saves_per_hour"):
            base.begin(SPEC.pack())
        with pytest.raises(DataError, match="let rounds be longer"):
            base.check_wear()
        assert (base.version, base.n_saves, own.n_saves) == (1, 2, 2)
        now_ms = store.HOUR_MS - 1
        with pytest.raises(DataError):
            write(base, 2)
        assert everything(base) == params_of(1)  # the old one is as it was
        now_ms += 1
        write(base, 2)
        assert (base.version, base.n_saves) == (2, 3)
    finally:
        base.close()
        own.close()


def test_no_bound():
    wear = store.Wear()
    for _ in range(10_000):
        wear.count()
    assert wear.n_saves == 10_000
