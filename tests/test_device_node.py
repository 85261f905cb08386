"""The board's program as a process: CPython and real MicroPython, on a pty and over TCP."""

from __future__ import annotations

import os
import random
import select
import sys
import time

import pytest

pytest.importorskip("pty", reason="these processes talk over ptys")

import device_lab as lab
from device_lab import Host, Process
from fedboard import messages
from fedboard.hub import Joined, Left, Update
from fedboard.model import Spec
from fedboard.session import Denied


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    """The interpreter that runs the board."""
    if request.param == "cpython":
        return [sys.executable]
    return [*request.getfixturevalue("micropython"), "-X", "heapsize=256k"]


@pytest.fixture
def made(tmp_path):
    made = lab.make_samples()
    lab.write_samples(tmp_path / "data", made)
    return made


def test_round_on_a_pty(command, made, tmp_path):
    reference = lab.InProcess(made)
    params = lab.start_params()
    with Process(command, tmp_path, {"name": "kitchen"}) as board:
        host = Host(board.stream)
        joined = host.until(Joined)
        assert joined.hello.name == "kitchen"
        assert len(joined.hello.uid) == 8
        assert (joined.status.n_samples, joined.status.n_in, joined.status.version) == (60, 16, 0)
        assert joined.status.firmware.startswith(("cpython ", "micropython "))
        # Round 1 brings the model, round 2 has a residual; both must equal the in-memory board's.
        for round_ in (1, 2):
            task = lab.make_task(params, round_)
            got = host.round(task, params)
            expected = reference.round(task, params)
            assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)
            assert got.begin.n_samples == 120
            assert got.data
            params = lab.apply(params, got)
        board.stream.write(b"\x03")
        host.until(Left)
        assert board.finish() == 0
        assert b"fedboard: stopped" in host.output + board.output
    assert host.hub.channel.n_refused == 0


def test_restart_knows_its_model(command, made, tmp_path):
    params = lab.start_params()
    task = lab.make_task(params)
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        first_uid = host.until(Joined).hello.uid
        first = host.round(task, params)
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        joined = host.until(Joined)
        assert joined.hello.uid == first_uid
        assert (joined.status.version, joined.status.digest) == (1, task.digest)
        again = host.round(task, None)  # the model is there: nothing needs to be sent
        assert (again.begin.meta, again.data) == (first.begin.meta, first.data)


def test_terminal_that_is_not_raw(command, made, tmp_path):
    params = lab.start_params()
    with Process(command, tmp_path, {}, raw=False) as board:
        host = Host(board.stream)
        host.said("link the console")  # from here on it is raw
        host.until(Joined)
        host.round(lab.make_task(params), params)
        board.stream.write(b"\x03")
        assert board.finish() == 0


def test_ctrl_c_at_once_and_hangup(command, made, tmp_path):
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        host.said("link the console")
        board.stream.write(b"some text\r\n\x03")
        assert board.finish() == 0
    with Process(command, tmp_path, {}) as board:
        Host(board.stream).said("link the console")
        board.stream.close()
        assert board.process.wait(10) is not None  # no orphan that spins


def test_ctrl_c_while_training(command, made, tmp_path):
    params = lab.start_params()
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.send_task(lab.make_task(params, epochs=255), params)
        host.until(messages.Progress)
        board.stream.write(b"\x03")
        assert board.finish() == 0


def test_noisy_line(command, made, tmp_path):
    """Lost, changed and foreign bytes in both directions: the update is still the right one."""
    params = lab.start_params()
    with Process(command, tmp_path, {}) as board:
        board.stream.write(bytes(byte for byte in os.urandom(3000) if byte != 3))
        host = Host(board.stream)
        host.mangle_in = host.mangle_out = lab.noise(5)
        host.until(Joined)
        for round_ in (1, 2, 3):
            task = lab.make_task(params, round_, flags=0)
            got = host.round(task, params)
            expected = lab.InProcess(made).round(task, params)
            assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)


def test_tcp_with_a_key(command, made, tmp_path):
    params = lab.start_params()
    task = lab.make_task(params)
    with lab.listener() as server:
        settings = {"host": f"127.0.0.1:{server.getsockname()[1]}", "key": lab.KEY.hex()}
        with Process(command, tmp_path, settings) as board:
            # A link that drops in the middle of a chunk of the model.
            stream = lab.accept(server)
            host = Host(stream, lab.KEY)
            host.until(Joined)
            host.send_task(task, params)
            stream.write(host.hub.outgoing(lab.now_ms())[:500])
            stream.close()
            # It comes back, and is sent the model again.
            stream = lab.accept(server)
            host = Host(stream, lab.KEY)
            assert host.until(Joined).status.version == 0
            host.send_task(task, params)
            # The link drops when the update is on its way; the host asks for it again.
            host.until(messages.Progress)
            while b"\x7e\x13" not in host.output:
                host.turn()
            stream.close()
            stream = lab.accept(server)
            host = Host(stream, lab.KEY)
            assert host.until(Joined).status.version == 1
            got = host.round(task, None)
            expected = lab.InProcess(made).round(task, params)
            assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)
            stream.close()
        assert b"the host closed the connection" in board.output
        assert lab.KEY.hex().encode() not in board.output


def test_tcp_waits_for_its_host(command, made, tmp_path):
    with lab.listener() as server:
        port = server.getsockname()[1]
    settings = {"host": f"localhost:{port}", "key": lab.KEY.hex()}
    with Process(command, tmp_path, settings) as board:
        time.sleep(1.5)
        with lab.socket.create_server(("127.0.0.1", port)) as server:
            host = Host(lab.accept(server), lab.KEY)
            host.until(Joined)
            assert board.process.poll() is None
            host.stream.close()


def test_sleeps_while_there_is_nothing_to_do(command, made, tmp_path):
    """And the address that nobody knows is passed over."""
    params = lab.start_params()
    with lab.listener() as server:
        host = f"nobody.invalid:1, 127.0.0.1:{server.getsockname()[1]}"
        settings = {"host": host, "key": lab.KEY.hex(), "sleep": "light"}
        with Process(command, tmp_path, settings) as board:
            host = Host(lab.accept(server), lab.KEY)
            assert host.until(Joined).status.free_flash > 0
            host.round(lab.make_task(params), params)
            host.hub.send(messages.Sleep(seconds=1))  # not worth it
            host.hub.send(messages.Sleep(seconds=2))
            began_s = time.monotonic()
            assert host.until(Left).reason == "asleep for 2 s"
            host.stream.close()
            host = Host(lab.accept(server), lab.KEY)
            assert host.until(Joined).status.version == 1
            assert time.monotonic() - began_s >= 2
            assert board.process.poll() is None
            host.stream.close()


@pytest.mark.parametrize("key", [None, bytes(32)])
def test_wrong_key(command, made, tmp_path, key):
    with Process(command, tmp_path, {"key": lab.KEY.hex()}) as board:
        host = Host(board.stream, key)
        if key is None:
            host.until(Denied)
        else:
            host.said("the host does not have this board's key")
        assert not host.hub.joined
        host = Host(board.stream, lab.KEY)  # the right one is let in, on the same line
        host.until(Joined)


def test_board_without_the_key(command, made, tmp_path):
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream, lab.KEY)
        assert "has no key" in host.until(Denied).reason
        host.said("has no key")


def test_model_that_does_not_fit(command, made, tmp_path):
    spec = Spec((17, 4))
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.send_task(lab.make_task(lab.start_params(spec), spec=spec), None)
        with pytest.raises(AssertionError, match="17 inputs, this board's samples 16"):
            host.until(Update)


def test_a_host_that_breaks_the_protocol_amid_a_model(command, made, tmp_path):
    """And then says nothing more: the board waits for no chunk of it, but says HELLO again."""
    params = lab.start_params()
    with Process(command, tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.send_task(lab.make_task(params), params)
        host.hub.cancel()
        chunk = messages.Chunk(offset=0, data=bytes(params)[:100])
        host.hub.channel.send(messages.Chunk.KIND, chunk.pack())
        host.hub.channel.send(0x7B, bytes(40))
        board.stream.write(host.hub.outgoing(host.now_ms()))
        said = b""
        while b"broke the protocol" not in said or b"\x7e\x02" not in said.split(b"broke", 1)[1]:
            assert select.select([board.stream], [], [], 30)[0], said
            said += board.stream.read()


def test_model_that_is_too_large(micropython, made, tmp_path):
    spec = Spec((16, 4000, 4))
    with Process([*micropython, "-X", "heapsize=320k"], tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.hub.send(lab.make_task(lab.start_params(spec), spec=spec))
        with pytest.raises(AssertionError, match=r"needs \d+ bytes, \d+ are free|out of memory"):
            host.until(Update)
        host.round(lab.make_task(lab.start_params()), lab.start_params())  # a smaller one is fine


def test_no_samples(command, tmp_path):
    with Process(command, tmp_path, {}) as board:
        joined = Host(board.stream).until(Joined)
        assert (joined.status.n_samples, joined.status.n_in) == (0, 0)


def test_broken_settings(command, tmp_path):
    settings = '{"naem": "kitchen", "link": "tpc", "key": "secret"}'
    with Process(command, tmp_path, settings) as board:
        host = Host(board.stream)
        host.said("unknown setting naem: did you mean name?")
        host.said("did you mean tcp?")
        host.said("64 hexadecimal digits")
        host.until(Joined)  # USB still works
        assert b"secret" not in host.output


def test_power_cuts(command, made, tmp_path):
    """Killed at any time while it works, it comes back with a model that it was sent, or none."""
    rng = random.Random(11)
    models = {}
    params = lab.start_params()
    round_ = 1
    models[round_] = lab.SPEC.digest(params)
    for _ in range(6):
        with Process(command, tmp_path, {}) as board:
            host = Host(board.stream)
            status = host.until(Joined).status
            assert status.version == 0 or models[status.version] == status.digest
            end = time.monotonic() + rng.random() * 0.5
            while time.monotonic() < end:
                here = status.version == round_
                got = host.round(lab.make_task(params, round_), None if here else params)
                status.version = round_
                params = lab.apply(params, got)
                round_ += 1
                models[round_] = lab.SPEC.digest(params)
            host.send_task(lab.make_task(params, round_), params)
            for _ in range(rng.randrange(20)):
                host.turn()
    bad = [path.name for path in (tmp_path / "data").iterdir() if path.name == "base.bad"]
    assert bad == []


def test_main_without_a_file(command, made, tmp_path):
    """`mpremote run` sends the text: there is no __file__, and no folder of its own."""
    text = f"import sys; sys.path.insert(0, {str(lab.MAIN.parent)!r})\n" + lab.MAIN.read_text()
    with Process(command, tmp_path, {}, main=("-c", text)) as board:
        host = Host(board.stream)
        host.until(Joined)
        board.stream.write(b"\x03")
        assert board.finish() == 0


def test_usage(command, tmp_path):
    with Process(command, tmp_path, {}, main=(str(lab.MAIN), "--confg")) as board:
        assert board.finish() != 0
        assert b"usage" in board.output


def test_no_more_models_go_to_flash_than_the_settings_allow(command, made, tmp_path):
    """The board says so at the task, before a model is sent; the one that it has still works."""
    params = lab.start_params()
    with Process(command, tmp_path, {"saves_per_hour": 2}) as board:
        host = Host(board.stream)
        assert host.until(Joined).status.n_saves == 0
        host.round(lab.make_task(params, 1), params)
        host.round(lab.make_task(params, 2), params)
        host.hub.send(lab.make_task(params, 3))
        with pytest.raises(AssertionError, match="2 models in this hour"):
            host.until(Update)
        host.round(lab.make_task(params, 2), None)
        host.hub.open(lab.now_ms())  # a new session
        assert host.until(Joined).status.n_saves == 2
