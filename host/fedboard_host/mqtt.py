"""A run's status over MQTT, as Home Assistant wants it: discovery messages, then figures.

    fedboard/NAME/online            online, or offline: also if the host dies (its last will)
    fedboard/NAME/run               {"round", "rounds", "accuracy", "boards"}
    fedboard/NAME/board/BOARD       {"state", "last_seen", "samples"}; last_seen is a UTC time
    homeassistant/device/.../config the discovery messages (Home Assistant 2024.12 and later)

All are retained: who subscribes later sees them, too. A broker that is away is tried again and
again; it never holds a run up. No sample is in here, and the password is never shown.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedboard import VERSION, DataError
from fedboard_host.events import Event, RoundClosed

if TYPE_CHECKING:
    from fedboard_host.server import BoardView

EVERY_S = 10.0
_KEEPALIVE_S = 30


@dataclass(frozen=True)
class Broker:
    """password_file: a text file with nothing else in it."""

    host: str
    port: int = 1883
    user: str = ""
    password_file: Path | None = None
    discovery: str = "homeassistant"  # Home Assistant's prefix; "": no discovery


class Status:
    """One run's. on_note(level, text) hears of a broker that is away, or back, once each."""

    def __init__(
        self, broker: Broker, name: str, rounds: int, on_note: Callable[[str, str], None]
    ) -> None:
        """Raises DataError if paho-mqtt is missing or the password cannot be read."""
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise DataError("[mqtt] needs paho-mqtt: pip install 'fedboard[mqtt]'") from None
        self._broker = broker
        self._name = name
        self._rounds = rounds
        self._note = on_note
        self._root = f"fedboard/{slug(name)}"
        self._accuracy: float | None = None
        self._told: dict[str, str] = {}  # by topic: what was published last
        self._is_away = False
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"fedboard-{slug(name)}")
        if broker.user:
            client.username_pw_set(broker.user, _password(broker.password_file))
        client.will_set(f"{self._root}/online", "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.reconnect_delay_set(1, 60)
        self._client = client

    def start(self) -> None:
        """Connect in paho's own thread."""
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(self._broker.host, self._broker.port, _KEEPALIVE_S)
        self._client.loop_start()

    async def keep(
        self, round_no: Callable[[], int], boards: Callable[[], list[BoardView]]
    ) -> None:
        """Tell how things are again and again, and once more when cancelled."""
        try:
            while True:
                self.tell(round_no(), boards())
                await asyncio.sleep(EVERY_S)
        finally:
            self.tell(round_no(), boards())

    def on_event(self, event: Event) -> None:
        """A round's accuracy is in the next tell()."""
        if isinstance(event, RoundClosed):
            self._accuracy = event.accuracy

    def tell(self, round_no: int, boards: list[BoardView], now_s: float | None = None) -> None:
        """Publish what has changed. now_s: seconds since 1970."""
        now_s = time.time() if now_s is None else now_s
        here = [b for b in boards if b.state != "gone"]
        run: dict[str, Any] = {"round": round_no, "rounds": self._rounds, "boards": len(here)}
        if self._accuracy is not None:
            run["accuracy"] = round(100 * self._accuracy, 1)
        if self._broker.discovery:
            self._discover(f"{slug(self._name)}", self._name, "run", _RUN)
            for board in boards:
                title, path = f"{self._name} {board.name}", f"board/{slug(board.name)}"
                self._discover(slug(f"{self._name}/{board.name}"), title, path, _BOARD)
        self._publish(f"{self._root}/run", json.dumps(run))
        for board in boards:
            seen = datetime.fromtimestamp(round(now_s - board.last_seen_s), UTC)
            state = {
                "state": board.state, "last_seen": seen.isoformat(), "samples": board.n_samples,
            }  # fmt: skip
            self._publish(f"{self._root}/board/{slug(board.name)}", json.dumps(state))

    async def close(self) -> None:
        """Say that we are off; what is queued leaves first, if the broker is there."""
        info = self._client.publish(f"{self._root}/online", "offline", qos=1, retain=True)
        if not info.rc and self._client.is_connected():  # else it only queues, and waiting raises
            await asyncio.to_thread(info.wait_for_publish, 2.0)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _discover(self, uid: str, title: str, path: str, parts: dict[str, dict[str, Any]]) -> None:
        """One device and its sensors, in one message."""
        components = {}
        for key, part in parts.items():
            components[key] = {
                "platform": "sensor", "unique_id": f"fedboard-{uid}-{key}",
                "value_template": "{{ value_json.%s | default(None) }}" % key, **part,  # noqa: UP031
            }  # fmt: skip
        message = {
            "device": {
                "identifiers": [f"fedboard-{uid}"], "name": title, "manufacturer": "fedboard",
            },
            "origin": {"name": "fedboard", "sw_version": VERSION},
            "components": components,
            "state_topic": f"{self._root}/{path}",
            "availability_topic": f"{self._root}/online",
        }  # fmt: skip
        self._publish(f"{self._broker.discovery}/device/fedboard-{uid}/config", json.dumps(message))

    def _publish(self, topic: str, text: str) -> None:
        """Nothing that the broker has already; while it is away nothing is queued."""
        if self._client.is_connected() and self._told.get(topic) != text:
            self._told[topic] = text
            self._client.publish(topic, text, qos=1, retain=True)

    # Called in paho's thread

    def _on_connect(self, client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            self._say_away(str(reason))
            return
        self._told.clear()  # another broker, or one that has forgotten
        client.publish(f"{self._root}/online", "online", qos=1, retain=True)
        if self._is_away:
            self._is_away = False
            self._say("info", f"the MQTT broker {self._broker.host} is back")

    def _on_connect_fail(self, *_: Any) -> None:
        self._say_away("no answer")

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, *____: Any) -> None:
        if reason.is_failure:
            self._say_away(str(reason))

    def _say_away(self, why: str) -> None:
        if not self._is_away:
            self._is_away = True
            where = f"{self._broker.host}:{self._broker.port}"
            self._say("warning", f"no MQTT broker at {where} ({why}): the run goes on without it")

    def _say(self, level: str, text: str) -> None:
        self._loop.call_soon_threadsafe(self._note, level, text)


_RUN = {
    "round": {"name": "Round", "icon": "mdi:counter"},
    "accuracy": {"name": "Accuracy", "unit_of_measurement": "%", "state_class": "measurement"},
    "boards": {"name": "Boards here", "icon": "mdi:chip", "state_class": "measurement"},
}
_BOARD = {
    "state": {"name": "State", "icon": "mdi:chip"},
    "last_seen": {"name": "Last seen", "device_class": "timestamp"},
    "samples": {"name": "Samples", "icon": "mdi:database", "state_class": "measurement"},
}


def slug(name: str) -> str:
    """A name as a topic and an id may have it: if not as it is, then with a checksum of it."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    if plain == name and name:
        return name
    return f"{plain}_{zlib.crc32(name.encode()):08x}"


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        raise DataError(f"{path}: this is no readable password file") from None
