"""The key: its file, and that it is in no message, log, page, error or repr."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import stat

import pytest
from click.testing import CliRunner

from fedboard import DataError, auth
from fedboard.hub import Hub
from fedboard.node import Identity, Node
from fedboard_host import asking, cli, demo, keyfile, metademo
from fedboard_host.dashboard import page
from fedboard_host.dashboard.feed import Feed
from fedboard_host.events import Note
from fedboard_host.gate import Gate
from fedboard_host.virtual import VirtualBoard
from federations import Fleet, blobs
from test_host_roster import stranger
from test_session import Wire, entropy, is_joined, status

OTHER = b"x" * 32


@pytest.mark.skipif(os.name != "posix", reason="on Windows access follows the folder's")
def test_a_key_that_others_can_read_is_warned_of(tmp_path):
    path = tmp_path / "home.key"
    said: list[str] = []
    keyfile.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = keyfile.read(path, said.append)
    assert said == []
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        assert keyfile.read(path, said.append) == key
        assert f"chmod 600 {path}" in said.pop()
    path.chmod(0o644)
    done = CliRunner().invoke(cli.cli, ["boards", "--json", "--key-file", str(path), "loop://"])
    assert "other users can read this key" in done.stderr
    assert "other users" not in done.stdout


def test_keys_differ_and_a_key_file_is_never_replaced(tmp_path):
    for name in "ab":
        keyfile.write(tmp_path / name)
    assert keyfile.read(tmp_path / "a") != keyfile.read(tmp_path / "b")
    with pytest.raises(DataError, match="exists"):
        keyfile.write(tmp_path / "a")


def shapes(key: bytes) -> list[bytes]:
    """How a key could show in a text or a file."""
    return [key, key.hex().encode(), key.hex().upper().encode(), repr(key).encode(),
            base64.b64encode(key)[:40], str(list(key)).encode()]  # fmt: skip


def test_no_repr_and_no_error_shows_a_key(tmp_path):
    key = os.urandom(32)
    board = Node(Identity("kitchen", b"uid"), key, entropy(1), status)
    hub = Hub(key, entropy(2))
    line = Wire(hub, board).run(is_joined)
    things = [
        board, hub, hub.channel, board.channel, *auth.signers(key, b"hello", b"h"),
        *line.hub_events, *line.node_events, asking.Asked(None, key), Gate(),
        demo.Options(key=key), metademo.Options(key=key),
    ]  # fmt: skip
    (tmp_path / "k").write_text(key.hex()[:-1])  # one digit is missing
    with pytest.raises(DataError) as caught:
        keyfile.read(tmp_path / "k")
    text = "\n".join([repr(t) + str(t) for t in things] + [str(caught.value), repr(caught.value)])
    assert "Joined" in text
    assert key.hex()[:16] not in text
    assert not [s for s in shapes(key) if s in text.encode()]


def test_a_keyed_run_writes_and_tells_the_key_nowhere(tmp_path, caplog, capfd):
    """A round, a board with another key, a stranger: then look into everything that there is."""
    caplog.set_level(logging.DEBUG)
    key = os.urandom(32)
    heard: list[bytes] = []

    async def body():
        async with Fleet(tmp_path / "run", 2, key=key) as fleet:
            fleet.add(VirtualBoard("other", blobs(9, 24), key=OTHER, clock=fleet.clock))
            host, end = stranger()
            fleet.federation.add_link(host)
            heard.append(await end.read())
            await fleet.run(2)
            await fleet.until(Note, level="warning")
            texts = [repr(fleet.federation), *map(repr, fleet.events)]
            texts += [repr(view) for view in fleet.federation.boards()]
            return texts

    texts = asyncio.run(body())
    state = Feed(tmp_path / "run", ()).read()
    texts += [page.live(state, True), repr(state), caplog.text, *capfd.readouterr()]
    files = [p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()]
    assert any(b"SQLite" in data for data in files)
    everything = b"\n".join([*files, *heard, *(t.encode() for t in texts)])
    assert b"other" in everything
    assert not [s for s in shapes(key) if s in everything]


def test_a_command_that_fails_shows_no_key_even_when_debugging(tmp_path):
    path = tmp_path / "home.key"
    keyfile.write(path)
    text = path.read_text().strip()
    for arguments in (
        ["--debug", "boards", "--key-file", str(path), "loop://"],
        ["--debug", "node", "--config", str(tmp_path), "--key-file", str(path)],
        ["--debug", "key", str(path)],
    ):
        done = CliRunner().invoke(cli.cli, arguments)
        said = done.output + repr(done.exception) + repr(done.exc_info)
        assert text not in said, arguments
