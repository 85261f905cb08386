"""The settings of newcomers of `gestures`, as gestures.choose() printed them.

Each was best for all other people, in a search that saw no sample of this person. A tuple a person,
in order, person 1 (user 1) first: (look, rate, rounds, rates to adapt with: to one shot, to five).
A look is the features' blocks x octaves and the rule: see people.looks.
"""

from __future__ import annotations

Setting = tuple[str, int, int, int, int]
Table = dict[str, tuple[Setting, ...]]

# fmt: off
NEWCOMERS: dict[str, Table] = {
    "punchflex": {
        "random start": (
            ("3x5 centred", 0, 0, 5, 7), ("3x5 centred", 0, 0, 5, 6), ("3x5 centred", 0, 0, 5, 4),
            ("3x5 centred", 0, 0, 6, 8), ("3x5 centred", 0, 0, 5, 6), ("3x5 centred", 0, 0, 6, 5),
            ("3x5 centred", 0, 0, 5, 5),
        ),
        "FedAvg": (
            ("3x5 centred", 9, 80, 7, 7), ("3x5 centred", 5, 20, 6, 6),
            ("3x5 centred", 9, 20, 7, 7), ("3x5 centred", 5, 20, 6, 5),
            ("3x5 centred", 9, 20, 6, 7), ("3x5 fedboard", 9, 80, 8, 8),
            ("3x5 centred", 9, 20, 6, 7),
        ),
        "TinyReptile": (
            ("3x5 centred", 9, 20, 6, 7), ("3x5 fedboard", 7, 80, 7, 7),
            ("3x5 centred", 9, 20, 6, 7), ("3x5 centred", 9, 20, 6, 5),
            ("3x5 centred", 9, 20, 6, 7), ("3x5 fedboard", 7, 80, 10, 7),
            ("3x5 centred", 9, 20, 6, 7),
        ),
    },
    "punchflex, features chosen": {
        "random start": (
            ("4x4 centred", 0, 0, 5, 8), ("4x4 centred", 0, 0, 4, 6), ("4x4 centred", 0, 0, 5, 7),
            ("2x6 centred", 0, 0, 6, 7), ("4x4 centred", 0, 0, 5, 7), ("2x6 centred", 0, 0, 6, 8),
            ("4x4 centred", 0, 0, 5, 7),
        ),
        "FedAvg": (
            ("2x6 centred", 9, 20, 7, 5), ("4x4 centred", 5, 20, 6, 6),
            ("3x5 centred", 9, 20, 7, 7), ("4x4 centred", 7, 80, 6, 6),
            ("6x2 centred", 7, 80, 8, 7), ("3x5 fedboard", 9, 80, 8, 8),
            ("3x5 centred", 9, 20, 6, 7),
        ),
    },
    "wand": {
        "random start": (
            ("3x5 fedboard", 0, 0, 6, 7), ("3x5 fedboard", 0, 0, 5, 6),
            ("3x5 fedboard", 0, 0, 6, 6),
        ),
        "FedAvg": (
            ("3x5 centred", 7, 80, 10, 9), ("3x5 fedboard", 5, 80, 10, 10),
            ("3x5 fedboard", 7, 80, 8, 8),
        ),
    },
    "wand, features chosen": {
        "random start": (
            ("3x5 fedboard", 0, 0, 6, 7), ("3x5 fedboard", 0, 0, 5, 6),
            ("3x5 fedboard", 0, 0, 6, 6),
        ),
        "FedAvg": (
            ("3x5 centred", 7, 80, 10, 9), ("4x4 centred", 7, 80, 9, 9),
            ("4x4 centred", 7, 80, 9, 9),
        ),
    },
}
# fmt: on
