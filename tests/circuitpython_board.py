"""Run by each interpreter: the board's program on CircuitPython's modules (the stubs beside this).

circuitpython_board.py FOLDER        prints what happened; the same everywhere
"""

import os
import sys
from array import array
from binascii import crc32

import microcontroller
import socketpool
import usb_cdc
import wifi

from fedboard import messages, model, samples
from fedboard.hub import Hub, Joined, Update
from fedboard_device import config, store, system, usbserial
from fedboard_device import runner as program

system.RUNTIME = "circuitpython"
system.DESKTOP = False
system.sleep_ms = lambda duration_ms: None
entropy = getattr(os, "urandom", bytes)  # MicroPython in WebAssembly has none
system.entropy = entropy

SPEC = model.Spec((16, 12, 4), seed=7)
KEY = bytes(range(32))
FOLDER = sys.argv[1]
said = []
system.say = said.append


class Port:
    """The computer's end of a usb_cdc.Serial or a socketpool.Socket."""

    def __init__(self, far):
        self.far = far

    def read(self):
        got = bytes(self.far.sent)
        self.far.sent = bytearray()
        return got

    def write(self, data):
        self.far.waiting += data


def settings(folder, **changes):
    made = config.Settings()
    made.data_dir = folder
    for name in changes:
        setattr(made, name, changes[name])
    return made


def meet(runner, port, key=None):
    """Shake hands. The Hub, and what the board said of itself."""
    hub = Hub(key, entropy)
    hub.open(0)
    for now_ms in range(1, 4000):
        for event in turn(runner, port, hub, now_ms):
            if isinstance(event, Joined):
                return hub, event
    raise AssertionError(f"never joined: {said}")


def turn(runner, port, hub, now_ms):
    runner._turn()
    port.write(hub.outgoing(now_ms))
    return hub.receive(port.read(), now_ms)


def train(runner, port, hub):
    """One round: the update's size and checksum."""
    params = model.new_params(SPEC)
    model.init_params(SPEC, params)
    digest = SPEC.digest(params)
    hub.send(
        messages.Task(
            run=1, round=1, version=1, digest=digest, op=messages.TRAIN, flags=messages.CARRY,
            layers=3, epochs=2, batch=5, rate=8, top_permille=100, bits=4, seed=3,
            spec=SPEC.pack(),
        )
    )  # fmt: skip
    begin = messages.Begin(
        what=messages.MODEL, round=1, version=1, encoding=0, n_bytes=2 * len(params), digest=digest
    )
    hub.transfer(begin, [bytes(params)])
    for now_ms in range(4000, 90000):
        for event in turn(runner, port, hub, now_ms):
            if isinstance(event, Update):
                data = event.begin.meta + event.data
                return f"{len(data)} bytes {crc32(data) & 0xFFFFFFFF:08x}"
            if isinstance(event, messages.Error):
                raise AssertionError(event.text)
    raise AssertionError(f"no update: {said}")


def write_samples(folder):
    store.make_folder(folder)
    with open(folder + "/samples.bin", "wb") as file:
        file.write(samples.pack_header(16))
        for i in range(40):
            x = array("b", [(100 if k % 4 == i % 4 else 0) + (7 * i + k) % 20 for k in range(16)])
            file.write(samples.pack_record(x, i % 4))


def on_the_console():
    """No port for data: the console, and the board may write its flash."""
    runner = program.Runner(settings(FOLDER + "/own", watchdog_ms=8000))
    assert isinstance(runner._link, usbserial.UsbSerial)
    runner._open_link()
    runner._begin()
    port = Port(usb_cdc.console)
    hub, joined = meet(runner, port)
    print("console:", joined.hello.name, joined.status.n_samples, train(runner, port, hub))
    timer = microcontroller.watchdog
    print("watchdog:", timer.timeout, timer.mode, timer.fed > 9)
    runner.close()
    usb_cdc.console.connected = False
    usb_cdc.console.sent = bytearray()
    usb_cdc.console.waiting = bytearray()
    runner._link.write(b"nobody listens")
    assert not usb_cdc.console.sent
    again = program.Runner(settings(FOLDER + "/own"))
    print("kept:", again._base.version)
    again.close()


def on_the_data_port():
    """The port for data, if there is one; its drive is the computer's, so nothing is written."""
    usb_cdc.data = usb_cdc.Serial()

    def refuse(*_):
        raise OSError(30, "EROFS")

    real = store.open_base.__globals__.get("open", open)

    def read_only(path, mode="r"):
        return refuse() if mode[:1] in ("w", "a") or "+" in mode else real(path, mode)

    store.open = read_only
    try:
        runner = program.Runner(settings(FOLDER + "/readonly"))
        runner._open_link()
        runner._begin()
        port = Port(usb_cdc.data)
        hub, joined = meet(runner, port)
        print("data:", joined.status.n_samples, train(runner, port, hub), runner._base.version)
        print(sum(["the model is in memory" in text for text in said]), "warning")
        runner.close()
    finally:
        store.open = real
    usb_cdc.data = None


def on_wifi():
    hosts = [("laptop.local", 4850), ("10.0.0.1", 4850), ("192.168.1.10", 4850)]
    wanted = settings(FOLDER + "/wifi", link="tcp", hosts=hosts, key=KEY)
    wanted.wifi = {"ssid": "home", "password": "secret"}
    runner = program.Runner(wanted)
    runner._begin()
    connection = socketpool.opened[-1]
    port = Port(connection)
    hub, _ = meet(runner, port, KEY)
    print("wifi:", connection.address[0], wifi.radio.joined[0], train(runner, port, hub))
    runner._link.leave()
    assert not wifi.radio.connected
    runner.close()
    assert connection.closed


def secrets():
    """What settings.toml says counts where fedboard.json says nothing."""
    toml = {
        "FEDBOARD_KEY": KEY.hex() if hasattr(KEY, "hex") else "00" * 32, "FEDBOARD_NAME": "hall",
        "FEDBOARD_HOST": "192.168.1.10:4850", "CIRCUITPY_WIFI_SSID": "home",
        "CIRCUITPY_WIFI_PASSWORD": "secret",
    }  # fmt: skip

    class Os:
        getenv = toml.get

    real = config.os
    config.os = Os
    try:
        found = config.load(FOLDER + "/none.json")
        print("toml:", found.name, found.link, found.hosts, found.wifi["ssid"], found.problems)
        assert found.key is not None
        with open(FOLDER + "/fedboard.json", "w") as file:
            file.write('{"name": "mine", "link": "usb", "wifi": {"ssid": "other"}}')
        found = config.load(FOLDER + "/fedboard.json")
        print("json:", found.name, found.link, found.wifi["ssid"])
    finally:
        config.os = real


write_samples(FOLDER + "/own")
write_samples(FOLDER + "/readonly")
write_samples(FOLDER + "/wifi")
on_the_console()
on_the_data_port()
on_wifi()
secrets()
try:
    raise ValueError("shown")
except ValueError as error:
    system.show(error)  # without sys.print_exception there is traceback, or at least the text
