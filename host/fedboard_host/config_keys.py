"""The keys of home.toml: in which table each is, and what values it may have. See config."""

from __future__ import annotations

from fedboard_host import robust, strategies
from fedboard_host.config_values import Key
from fedboard_host.privacy import MAX_CLIP, MAX_NOISE

RULES = (
    "fedboard", "tifed", "float", "float-relu", "float-squared", "conv1", "conv2", "conv3",
    "centred",
)  # fmt: skip
_FEDERATION = {
    "name": Key("text"),
    "folder": Key("file"),
    "rounds": Key("int", 1, 1_000_000),
    "quorum": Key("int", 0, 10_000),
    "deadline_s": Key("number", 1, 7 * 86_400),
    "new_samples": Key("int", 0, 1 << 20),
    "every_s": Key("number", 0, 7 * 86_400),
    "patience": Key("number", 0, 100),
    "silent_s": Key("number", 5, 3600),
    "seed": Key("int", 0, 0xFFFFFFFF),
    "key_file": Key("file"),
    "strategy": Key("text", choices=tuple(strategies.names())),
    "merge": Key("text", choices=robust.KINDS),
    "noise": Key("number", 0, MAX_NOISE),
    "clip_norm": Key("int", 1, MAX_CLIP),
    "secure": Key("flag"),
    "faulty": Key("int", 1, robust.MAX_FAULTY),
}
PLAIN = (
    "rounds", "quorum", "deadline_s", "new_samples", "every_s", "patience", "silent_s", "seed",
)  # fmt: skip
STRATEGY = {
    "top_percent": Key("number", 0.1, 100),
    "bits": Key("int", 1, 16),
    "epochs": Key("int", 1, 255),
    "batch": Key("int", 1, 255),
    "rate": Key("int", 0, 65535),
    "n_max": Key("int", 0, 1 << 20),
    "jitter": Key("int", 0, 127),
    "down_percent": Key("number", 0.1, 100),
    "down_bits": Key("int", 1, 16),
    "gain": Key("int", 1, 8),
    "average_shift": Key("int", 0, 8),
    "carry": Key("flag"),
    "rotate": Key("flag"),
    "alpha": Key("number", 0, 1),
    "alpha_last": Key("number", 0, 1),
    "rate_last": Key("int", 0, 65535),
    "top_percent_last": Key("number", 0, 100),
    "down_percent_last": Key("number", 0, 100),
    "select": Key("int", 0, 10_000),
    "in_turn": Key("flag"),
    "local": Key("int", 0, 5),
    "n_local": Key("int", 0, 65535),
    "keep_local": Key("flag"),
}
# What fedavg does unless told otherwise: the demo's thrift.
THRIFT = {"top_percent": 12.0, "bits": 2, "down_percent": 12.0, "down_bits": 2, "batch": 16}
_SENSOR_NUMBERS = (
    "window", "hop", "rate_hz", "blocks", "bands", "group", "floor", "burst", "i2c", "address",
)  # fmt: skip
TABLES: dict[str, dict[str, Key]] = {
    "federation": {**_FEDERATION, **STRATEGY},
    "model": {
        "layers": Key("ints", 1, 4096),
        "rule": Key("text", choices=RULES),
        "labels": Key("texts", 1, 255),
        "start": Key("file"),
    },
    "sensor": {
        "module": Key("text"),
        "low": Key("number", -1e9, 1e9),
        "high": Key("number", -1e9, 1e9),
        "pins": Key("pins", 1, 16),
        "pull": Key("text", choices=("up", "down", "none")),
        "files": Key("texts", 1, 255),
        "sda": Key("pin"),
        "scl": Key("pin"),
        **{name: Key("int", 0, 65535) for name in _SENSOR_NUMBERS},
    },
    "board": {"name": Key("text"), "link": Key("text")},
    "network": {"listen": Key("text")},
    "evaluate": {"data": Key("file")},
    "mqtt": {
        "host": Key("text"),
        "port": Key("int", 1, 65535),
        "user": Key("text"),
        "password_file": Key("file"),
        "discovery": Key("text"),
    },
}
