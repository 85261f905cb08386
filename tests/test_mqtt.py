"""Status over MQTT, told to a real mosquitto; and what happens without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from fedboard import DataError
from fedboard_host import config
from fedboard_host.events import RoundClosed
from fedboard_host.member import BoardView
from fedboard_host.mqtt import Broker, Status, slug

pytest.importorskip("paho.mqtt.client", reason="pip install 'fedboard[mqtt]'")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 60


def board(name: str, state: str = "idle", seen_s: float = 2.0) -> BoardView:
    return BoardView(name, "ab", "usb", state, seen_s, "mp", "thumb", 1000, 12, 3, 64, 5000, 1, 2)


def closed(accuracy: float) -> RoundClosed:
    return RoundClosed(4, 5, 2, 2, accuracy, None, 10, 10, 5, 1.0)


class Mosquitto:
    """A broker on loopback, from the Debian package; started and stopped at will."""

    def __init__(self, folder, password: bool = False) -> None:
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            text = "no mosquitto: apt install mosquitto"
            pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(not password).lower()}"]
        if password:
            tool = shutil.which("mosquitto_passwd")
            subprocess.run([tool, "-b", "-c", folder / "passwords", "home", "secret"], check=True)
            lines.append(f"password_file {folder / 'passwords'}")
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            lines.append("user root")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self._log = folder / "mosquitto.log"
        self._child = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        self.stop()

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(WAIT_S * 10):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None


class Listener:
    """What a new subscriber hears: the retained messages, then the others."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.topics: dict[str, str] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _, __, message) -> None:
        self.topics[message.topic] = message.payload.decode()

    async def until(self, topic: str, text: str = "", tell=lambda: None) -> str:
        for _ in range(WAIT_S * 20):
            found = self.topics.get(topic)
            if found is not None and text in found:
                return found
            tell()
            await asyncio.sleep(0.05)
        raise AssertionError(f"{topic}: {self.topics}")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_home_assistant_sees_run_and_boards(tmp_path):
    async def main():
        async with Mosquitto(tmp_path) as broker:
            status = Status(Broker("127.0.0.1", broker.port), "my home", 50, lambda *_: None)
            status.start()
            listener = Listener(broker.port)
            try:
                boards = [board("kitchen"), board("attic", "gone", 90)]
                status.on_event(closed(0.9731))

                def tell():
                    status.tell(4, boards, now_s=1_800_000_000)

                home = slug("my home")
                run = json.loads(await listener.until(f"fedboard/{home}/run", tell=tell))
                assert run == {"round": 4, "rounds": 50, "boards": 1, "accuracy": 97.3}
                attic = json.loads(await listener.until(f"fedboard/{home}/board/attic", tell=tell))
                assert attic == {
                    "state": "gone", "samples": 12, "last_seen": "2027-01-15T07:58:30+00:00",
                }  # fmt: skip
                await listener.until(f"fedboard/{home}/online", "online")
                device = f"fedboard-{slug('my home/attic')}"
                text = await listener.until(f"homeassistant/device/{device}/config")
                found = json.loads(text)
                assert found["state_topic"] == f"fedboard/{home}/board/attic"
                assert found["availability_topic"] == f"fedboard/{home}/online"
                seen = found["components"]["last_seen"]
                assert seen["device_class"] == "timestamp"
                assert "value_json.last_seen" in seen["value_template"]
                parts = json.loads(listener.topics[f"homeassistant/device/fedboard-{home}/config"])
                assert set(parts["components"]) == {"round", "accuracy", "boards"}
            finally:
                await status.close()
                await listener.until(f"fedboard/{home}/online", "offline")
                listener.close()

    asyncio.run(main())


def test_the_last_round_is_told_when_a_run_ends(tmp_path):
    async def main():
        async with Mosquitto(tmp_path) as broker:
            status = Status(Broker("127.0.0.1", broker.port), "home", 50, lambda *_: None)
            status.start()
            listener = Listener(broker.port)
            at = [0]
            keeper = asyncio.create_task(status.keep(lambda: at[0], lambda: []))
            try:
                await listener.until("fedboard/home/online", "online")
                at[0] = 5
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
                last = {"round": 5, "rounds": 50, "boards": 0}
                await listener.until("fedboard/home/run", json.dumps(last))
            finally:
                keeper.cancel()
                await status.close()
                listener.close()

    asyncio.run(main())


def test_a_run_may_end_just_when_the_broker_is_back(monkeypatch):
    async def main():
        status = Status(Broker("127.0.0.1", 1), "home", 50, lambda *_: None)
        monkeypatch.setattr(status._client, "is_connected", lambda: True)  # but a moment ago not
        await status.close()

    asyncio.run(main())


def test_a_broker_that_goes_and_returns(tmp_path):
    """The run hears of it once, and everything is told again."""

    async def main():
        notes = []
        broker = Mosquitto(tmp_path)
        status = Status(Broker("127.0.0.1", broker.port), "h", 9, lambda *note: notes.append(note))
        status._client.reconnect_delay_set(1, 1)
        status.start()
        try:
            status.tell(0, [board("a")])
            for _ in range(WAIT_S * 20):
                if notes:
                    break
                await asyncio.sleep(0.05)
            async with broker:
                listener = Listener(broker.port)
                try:
                    await listener.until(
                        "fedboard/h/run", '"round": 1', lambda: status.tell(1, [board("a")])
                    )
                finally:
                    listener.close()
        finally:
            await status.close()
        levels = [level for level, _ in notes[:2]]
        assert levels == ["warning", "info"]
        assert "goes on without it" in notes[0][1]

    asyncio.run(main())


def test_a_wrong_password_is_told_without_it(tmp_path):
    async def main():
        notes = []
        (tmp_path / "word").write_text("wrongword\n")
        async with Mosquitto(tmp_path, password=True) as broker:
            settings = Broker("127.0.0.1", broker.port, "home", tmp_path / "word")
            status = Status(settings, "h", 9, lambda *note: notes.append(note))
            status.start()
            try:
                for _ in range(WAIT_S * 20):
                    if notes:
                        break
                    await asyncio.sleep(0.05)
            finally:
                await status.close()
        assert "uthori" in notes[0][1]
        assert "wrongword" not in str(notes)

    asyncio.run(main())


HOME = """\
[federation]
name = "kitchen"
rounds = 2
[model]
layers = [3, 4, 2]
[[board]]
name = "a"
link = "process:{python} -c pass"
[mqtt]
{mqtt}
"""


def test_home_toml(tmp_path):
    path = tmp_path / "home.toml"
    text = 'host = "ha.local"\nuser = "fed"\npassword_file = "mqtt.password"\ndiscovery = "ha"'
    home = config.parse(HOME.format(python=sys.executable, mqtt=text), path)
    assert home.mqtt == Broker("ha.local", 1883, "fed", tmp_path / "mqtt.password", "ha")
    assert config.parse(HOME.format(python="p", mqtt="port = 1884"), path).mqtt == Broker(
        "127.0.0.1", 1884
    )
    with pytest.raises(DataError, match="did you mean"):
        config.parse(HOME.format(python="p", mqtt="hots = 'x'"), path)
    with pytest.raises(DataError, match="no readable password"):
        Status(Broker("x", user="u", password_file=tmp_path / "none"), "n", 1, print)


def test_names_that_differ_have_ids_that_differ():
    names = ["a.b", "a_b", "a-b", "a b", "a", "a.", "a_", "", "_", "ä", "ö", "my home/1"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9_-]+", one) for one in slugs)
    assert (slug("a_b"), slug("a-b")) == ("a_b", "a-b")
    assert slug("my home/1").startswith("my_home_1_")
