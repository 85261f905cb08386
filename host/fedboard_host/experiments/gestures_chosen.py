"""The settings of each person of `gestures`, as gestures.choose() printed them.

Each was best for all other people, in a search that saw no sample of this person. A tuple a person,
in order: person 1 (user 1) comes first. What they mean:

    BOARDS       by set and own samples of each gesture: (look, rate, rounds, own rate, passes)
    NEWCOMERS    by set: (look, rate, rounds, rates to adapt with: to one shot, to five)

A look is the features' blocks x octaves and the rule: see people.looks; BOARDS: owners.Setting.
"""

from __future__ import annotations

Setting = tuple[str, int, int, int, int]
Table = dict[str, tuple[Setting, ...]]

# fmt: off
BOARDS: dict[str, dict[int, Table]] = {
    "punchflex": {
        1: {
            "each alone": (
                ("6x2 centred", 0, 0, 6, 10), ("6x2 centred", 0, 0, 7, 80),
                ("6x2 centred", 0, 0, 6, 10), ("6x2 centred", 0, 0, 6, 10),
                ("6x2 centred", 0, 0, 6, 10), ("6x2 centred", 0, 0, 6, 10),
                ("6x2 centred", 0, 0, 6, 10),
            ),
            "one model for all": (
                ("6x2 fedboard", 5, 40, 0, 0), ("6x2 centred", 5, 10, 0, 0),
                ("6x2 centred", 9, 80, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("6x2 centred", 5, 20, 0, 0), ("6x2 fedboard", 5, 80, 0, 0),
                ("6x2 fedboard", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 fedboard", 5, 10, 6, 10), ("6x2 fedboard", 9, 80, 6, 20),
                ("6x2 centred", 9, 40, 8, 5), ("6x2 centred", 9, 160, 4, 2),
                ("6x2 centred", 9, 160, 6, 5), ("6x2 centred", 9, 160, 6, 5),
                ("6x2 centred", 9, 40, 8, 20),
            ),
        },
        2: {
            "each alone": (
                ("6x2 centred", 0, 0, 8, 5), ("6x2 fedboard", 0, 0, 6, 5),
                ("6x2 fedboard", 0, 0, 5, 5), ("6x2 fedboard", 0, 0, 5, 5),
                ("6x2 centred", 0, 0, 8, 5), ("6x2 centred", 0, 0, 8, 5),
                ("6x2 fedboard", 0, 0, 5, 5),
            ),
            "one model for all": (
                ("6x2 centred", 5, 20, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("6x2 fedboard", 5, 10, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("6x2 centred", 9, 160, 0, 0), ("6x2 centred", 5, 40, 0, 0),
                ("6x2 fedboard", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 fedboard", 9, 160, 6, 2), ("6x2 centred", 9, 160, 10, 20),
                ("6x2 fedboard", 9, 20, 6, 2), ("6x2 centred", 5, 20, 4, 2),
                ("6x2 centred", 9, 160, 0, 0), ("6x2 centred", 5, 40, 0, 0),
                ("6x2 fedboard", 9, 20, 6, 20),
            ),
        },
        5: {
            "each alone": (
                ("6x2 fedboard", 0, 0, 6, 2), ("6x2 fedboard", 0, 0, 5, 10),
                ("6x2 fedboard", 0, 0, 6, 2), ("6x2 fedboard", 0, 0, 6, 2),
                ("6x2 centred", 0, 0, 7, 2), ("6x2 fedboard", 0, 0, 6, 2),
                ("6x2 fedboard", 0, 0, 6, 2),
            ),
            "one model for all": (
                ("6x2 centred", 5, 40, 0, 0), ("6x2 fedboard", 5, 80, 0, 0),
                ("6x2 fedboard", 5, 40, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("6x2 centred", 9, 160, 0, 0), ("6x2 fedboard", 9, 160, 0, 0),
                ("6x2 fedboard", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 centred", 5, 10, 6, 5), ("6x2 fedboard", 5, 80, 0, 0),
                ("6x2 fedboard", 9, 5, 10, 20), ("6x2 fedboard", 5, 20, 4, 2),
                ("6x2 centred", 9, 160, 4, 2), ("6x2 fedboard", 9, 160, 0, 0),
                ("6x2 centred", 9, 160, 4, 5),
            ),
        },
    },
    "punchflex, features chosen": {
        1: {
            "each alone": (
                ("2x6 centred", 0, 0, 4, 5), ("2x6 centred", 0, 0, 7, 20),
                ("2x6 centred", 0, 0, 4, 5), ("2x6 centred", 0, 0, 4, 5),
                ("2x6 centred", 0, 0, 5, 5), ("0x6 centred", 0, 0, 8, 80),
                ("2x6 centred", 0, 0, 4, 5),
            ),
            "one model for all": (
                ("2x6 centred", 5, 80, 0, 0), ("4x4 centred", 5, 20, 0, 0),
                ("2x6 centred", 5, 80, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("2x6 centred", 5, 160, 0, 0), ("2x6 centred", 5, 40, 0, 0),
                ("2x6 centred", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("2x6 centred", 9, 40, 4, 20), ("2x6 centred", 9, 160, 4, 5),
                ("2x6 centred", 9, 40, 6, 10), ("2x6 centred", 9, 5, 6, 20),
                ("2x6 centred", 9, 5, 8, 20), ("0x6 centred", 9, 40, 6, 20),
                ("2x6 centred", 9, 10, 6, 20),
            ),
        },
        2: {
            "each alone": (
                ("2x6 centred", 0, 0, 5, 5), ("2x6 centred", 0, 0, 5, 5),
                ("2x6 centred", 0, 0, 5, 5), ("2x6 centred", 0, 0, 5, 5),
                ("2x6 centred", 0, 0, 6, 5), ("0x6 centred", 0, 0, 5, 10),
                ("2x6 centred", 0, 0, 5, 2),
            ),
            "one model for all": (
                ("2x6 centred", 5, 40, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("2x6 centred", 9, 160, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("4x4 centred", 5, 20, 0, 0), ("2x6 centred", 5, 5, 0, 0),
                ("2x6 centred", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("2x6 centred", 9, 20, 6, 10), ("2x6 centred", 9, 20, 6, 20),
                ("2x6 centred", 9, 20, 6, 10), ("2x6 centred", 9, 5, 6, 20),
                ("2x6 centred", 9, 5, 10, 20), ("2x6 centred", 5, 5, 6, 5),
                ("2x6 centred", 9, 10, 6, 2),
            ),
        },
        5: {
            "each alone": (
                ("2x6 centred", 0, 0, 5, 2), ("2x6 centred", 0, 0, 5, 2),
                ("2x6 centred", 0, 0, 5, 2), ("2x6 centred", 0, 0, 5, 2),
                ("0x6 centred", 0, 0, 4, 20), ("1x6 centred", 0, 0, 6, 2),
                ("2x6 centred", 0, 0, 5, 2),
            ),
            "one model for all": (
                ("2x6 centred", 5, 20, 0, 0), ("6x2 fedboard", 5, 80, 0, 0),
                ("2x6 centred", 9, 80, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("2x6 centred", 5, 80, 0, 0), ("4x4 centred", 5, 20, 0, 0),
                ("2x6 centred", 5, 10, 0, 0),
            ),
            "one model, then personal": (
                ("0x6 centred", 9, 5, 4, 20), ("6x2 fedboard", 5, 80, 0, 0),
                ("2x6 centred", 9, 5, 6, 2), ("0x6 centred", 9, 40, 4, 5),
                ("2x6 centred", 9, 5, 10, 10), ("0x6 centred", 9, 5, 4, 5),
                ("2x6 centred", 9, 80, 6, 2),
            ),
        },
    },
    "wand": {
        1: {
            "each alone": (
                ("6x2 fedboard", 0, 0, 9, 80), ("6x2 fedboard", 0, 0, 2, 20),
                ("6x2 fedboard", 0, 0, 4, 20),
            ),
            "one model for all": (
                ("6x2 fedboard", 9, 160, 0, 0), ("6x2 fedboard", 5, 80, 0, 0),
                ("6x2 fedboard", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 fedboard", 9, 160, 0, 0), ("6x2 fedboard", 5, 20, 6, 5),
                ("6x2 fedboard", 5, 40, 1, 10),
            ),
        },
        2: {
            "each alone": (
                ("6x2 centred", 0, 0, 5, 40), ("6x2 fedboard", 0, 0, 2, 10),
                ("6x2 fedboard", 0, 0, 4, 20),
            ),
            "one model for all": (
                ("6x2 centred", 5, 80, 0, 0), ("6x2 fedboard", 9, 160, 0, 0),
                ("6x2 fedboard", 5, 5, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 centred", 5, 80, 0, 0), ("6x2 fedboard", 5, 10, 10, 10),
                ("6x2 fedboard", 5, 10, 8, 1),
            ),
        },
        5: {
            "each alone": (
                ("6x2 centred", 0, 0, 5, 40), ("6x2 fedboard", 0, 0, 5, 40),
                ("6x2 fedboard", 0, 0, 5, 10),
            ),
            "one model for all": (
                ("6x2 centred", 5, 80, 0, 0), ("6x2 fedboard", 5, 40, 0, 0),
                ("6x2 centred", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("6x2 fedboard", 5, 20, 6, 2), ("6x2 fedboard", 5, 20, 10, 10),
                ("6x2 centred", 5, 40, 0, 0),
            ),
        },
    },
    "wand, features chosen": {
        1: {
            "each alone": (
                ("4x3 centred", 0, 0, 6, 40), ("4x3 centred", 0, 0, 5, 40),
                ("2x5 centred", 0, 0, 6, 80),
            ),
            "one model for all": (
                ("4x5 centred", 5, 80, 0, 0), ("2x5 centred", 5, 80, 0, 0),
                ("2x5 centred", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("4x5 centred", 5, 20, 6, 1), ("2x5 centred", 5, 80, 8, 1),
                ("2x5 centred", 5, 80, 10, 5),
            ),
        },
        2: {
            "each alone": (
                ("4x3 centred", 0, 0, 5, 80), ("2x5 centred", 0, 0, 7, 80),
                ("2x5 centred", 0, 0, 6, 80),
            ),
            "one model for all": (
                ("4x5 centred", 9, 160, 0, 0), ("2x5 centred", 9, 160, 0, 0),
                ("2x5 centred", 5, 160, 0, 0),
            ),
            "one model, then personal": (
                ("4x5 centred", 9, 160, 8, 2), ("2x5 centred", 9, 160, 10, 1),
                ("2x5 centred", 5, 160, 4, 2),
            ),
        },
        5: {
            "each alone": (
                ("4x3 centred", 0, 0, 7, 80), ("4x3 centred", 0, 0, 6, 80),
                ("2x5 centred", 0, 0, 6, 80),
            ),
            "one model for all": (
                ("4x3 centred", 5, 160, 0, 0), ("4x3 centred", 5, 80, 0, 0),
                ("4x5 centred", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("4x3 centred", 5, 20, 10, 20), ("4x3 centred", 5, 80, 0, 0),
                ("4x5 centred", 5, 80, 0, 0),
            ),
        },
    },
}

NEWCOMERS: dict[str, Table] = {
    "punchflex": {
        "random start": (
            ("6x2 centred", 0, 0, 5, 8), ("6x2 centred", 0, 0, 3, 7), ("6x2 centred", 0, 0, 5, 7),
            ("6x2 centred", 0, 0, 5, 8), ("6x2 centred", 0, 0, 5, 7), ("6x2 centred", 0, 0, 6, 4),
            ("6x2 centred", 0, 0, 5, 8),
        ),
        "FedAvg": (
            ("6x2 centred", 9, 80, 7, 6), ("6x2 centred", 5, 20, 9, 7),
            ("6x2 centred", 9, 20, 7, 5), ("6x2 centred", 9, 20, 6, 7),
            ("6x2 centred", 7, 80, 8, 7), ("6x2 centred", 7, 20, 6, 7),
            ("6x2 centred", 9, 20, 7, 7),
        ),
        "TinyReptile": (
            ("6x2 centred", 7, 80, 7, 7), ("6x2 centred", 7, 20, 8, 9),
            ("6x2 centred", 9, 20, 7, 8), ("6x2 centred", 9, 20, 6, 6),
            ("6x2 centred", 7, 80, 8, 8), ("6x2 centred", 7, 80, 6, 6),
            ("6x2 centred", 9, 20, 7, 7),
        ),
    },
    "punchflex, features chosen": {
        "random start": (
            ("4x4 centred", 0, 0, 5, 8), ("2x6 centred", 0, 0, 6, 7), ("4x4 centred", 0, 0, 5, 6),
            ("4x4 centred", 0, 0, 6, 8), ("4x4 centred", 0, 0, 5, 7), ("2x6 centred", 0, 0, 5, 4),
            ("4x4 centred", 0, 0, 4, 7),
        ),
        "FedAvg": (
            ("6x2 centred", 9, 80, 7, 6), ("4x4 centred", 5, 20, 8, 7),
            ("2x6 centred", 9, 20, 7, 7), ("4x4 centred", 7, 80, 6, 6),
            ("6x2 centred", 7, 80, 8, 7), ("2x6 centred", 9, 20, 6, 6),
            ("2x6 centred", 9, 20, 6, 6),
        ),
    },
    "wand": {
        "random start": (
            ("6x2 centred", 0, 0, 5, 7), ("6x2 fedboard", 0, 0, 5, 6),
            ("6x2 fedboard", 0, 0, 5, 6),
        ),
        "FedAvg": (
            ("6x2 fedboard", 9, 80, 10, 10), ("6x2 fedboard", 5, 80, 9, 8),
            ("6x2 fedboard", 7, 80, 10, 8),
        ),
    },
    "wand, features chosen": {
        "random start": (
            ("4x5 centred", 0, 0, 6, 8), ("4x5 centred", 0, 0, 6, 7), ("4x5 centred", 0, 0, 6, 7),
        ),
        "FedAvg": (
            ("4x5 centred", 7, 80, 10, 10), ("4x5 centred", 5, 80, 10, 9),
            ("4x3 centred", 7, 80, 8, 9),
        ),
    },
}
# fmt: on
