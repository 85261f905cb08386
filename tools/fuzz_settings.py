"""Settings with a mistake that a reader must name: for fuzz_inputs.

make_home(rng)        a home.toml          make_settings(rng)    a board's fedboard.json
HOME, JSON            what they are made from, without a mistake

Mistakes are unknown names, wrong types, numbers out of range, things left out, broken syntax.
"""

import json
from random import Random

HOME = """\
[federation]
name = "kitchen"
rounds = 50
quorum = 2
seed = 1
key_file = "kitchen.key"
strategy = "fedavg"
top_percent = 12
bits = 2

[model]
layers = [64, 32, 10]
rule = "fedboard"

[[board]]
name = "window"
link = "serial:/dev/ttyACM0"

[[board]]
name = "door"
link = "network"

[network]
listen = "0.0.0.0:4850"
"""
JSON = {
    "name": "kitchen", "key": "ab" * 32, "link": "tcp", "host": "192.168.1.10:4850",
    "wifi": {"ssid": "home", "password": "secret word"}, "sensor": {"module": "mpu6050"},
    "watchdog_ms": 8000, "max_samples": 200,
}  # fmt: skip
_WORDS = (
    "",
    "x",
    "\u00b2",
    "\u0661",
    "-1",
    "nan",
    "../..",
    "a:b:c",
    "%s",
    "\x7f",
    "\U0001f600" * 30,
)

_DEEP = "[" * 3000


def _odd(rng: Random) -> str:
    """A text that means nothing to anybody."""
    return rng.choice(_WORDS) + "".join(
        chr(rng.choice((65, 97, 233, 0x4E2D, 35, 58))) for _ in range(6)
    )


def make_home(rng: Random) -> bytes:
    lines = HOME.splitlines()
    own = [i for i, line in enumerate(lines) if " = " in line]
    kind = rng.randrange(9)
    at = rng.choice(own)
    name, _, value = lines[at].partition(" = ")
    if kind == 0:  # a name that is none
        lines[at] = f"{name}{rng.choice('abcdefgh')}_ = {value}"
    elif kind == 1:  # the wrong type
        wrong = ["true", "1979-05-27", "{a = 1}", "[[1]]", "[]", "[1.5]"]
        lines[at] = f"{name} = {rng.choice(wrong)}"
    elif kind == 2:  # out of range
        number = rng.choice(
            ["-1", "0", "-9223372036854775808", "1e308", "nan", "inf", "4294967296"]
        )
        which = rng.choice([i for i in own if lines[i][-1].isdigit() and "seed" not in lines[i]])
        name = lines[which].partition(" = ")[0]
        lines[which] = f"{name} = {'-1' if (name, number) == ('quorum', '0') else number}"
        if name == "rounds" and number == "4294967296":
            lines[which] = "rounds = -2"
    elif kind == 3:  # no TOML
        lines[at] = rng.choice(
            [
                f"{name} = ",
                f"{name} == {value}",
                f'{name} = "{_odd(rng)}',
                f"{name} = " + "[" * 3000,
                "[",
                "]",
            ]
        )
    elif kind == 4:  # twice
        lines.insert(at, lines[at])
    elif kind == 5:  # no table of ours
        lines.insert(rng.choice([0, len(lines)]), f"[t{rng.randrange(1000)}]")
        lines.insert(0, f"x{rng.randrange(99)} = 1" if rng.random() < 0.3 else "")
    elif kind == 6:  # something that is needed is not there
        needed = ("name", "layers", "link", "key_file")
        gone = rng.choice(needed)
        lines = [line for line in lines if not line.startswith(gone)]
    elif kind == 7:  # no link, no address, no strategy, no rule, no layers
        what = rng.choice(("link", "listen", "strategy", "rule", "layers"))
        odd = json.dumps(_odd(rng)) if what != "layers" else f"[{rng.randint(-9, 0)}, 3]"
        if what == "listen" and rng.random() < 0.5:
            odd = json.dumps(f"0.0.0.0:{rng.choice(_WORDS)}")
        lines = [f"{what} = {odd}" if line.startswith(what + " ") else line for line in lines]
    else:  # no text
        data = bytearray("\n".join(lines).encode())
        data[rng.randrange(len(data)) :] = rng.choice((b"\xff\xfe", b"\xc3", b"\0", b"\x80"))
        return bytes(data)
    return "\n".join(lines).encode()


def make_settings(rng: Random) -> bytes:
    values = dict(JSON)
    kind = rng.randrange(8)
    name = rng.choice(list(values))
    if kind == 0:
        values[name + rng.choice("abcdefgh") + "_"] = values.pop(name)
    elif kind == 1:
        wrong: list[object] = [None, [], [1], 1.5, {"a": 1}]
        values[name] = rng.choice(wrong)
    elif kind == 2:
        which = rng.choice(("key", "link", "host", "sleep"))
        values[which] = _odd(rng)
        if which == "host":
            values[which] = "a:" + rng.choice((*_WORDS, ":1", "0", "65536", "9" * 5000))
    elif kind == 3:
        inner = dict(values[rng.choice(("wifi", "sensor"))])  # type: ignore[call-overload]
        inner["z" + str(rng.randrange(99))] = 1
        values["wifi"] = inner
    elif kind == 4:
        text = json.dumps(values)
        return text[: rng.randrange(len(text) - 1)].encode()
    elif kind == 5:  # a comma or a value is missing: MicroPython's JSON reads on
        text = json.dumps(values)
        gone = rng.choice([i for i, c in enumerate(text) if c == ","])
        if rng.random() < 0.5:
            return text.replace(json.dumps(values[name]), "", 1).encode()
        return (text[:gone] + text[gone + 1 :]).encode()
    elif kind == 6:  # a name that is no text
        odd = rng.choice(("null", "true", "7", "1.5", "[]", "{}", "7e999", "NaN"))
        return json.dumps(values).replace(json.dumps(name) + ":", odd + ":", 1).encode()
    else:
        data = rng.choice((
            b"[]", b"1", b'"x"', b"null", b"{,}", b"[" * 2000, b"[" * 9999, b'{"a":' * 5000,
            b"\xff",
        ))  # fmt: skip
        return data + rng.randbytes(rng.randrange(2))
    return json.dumps(values).encode()
