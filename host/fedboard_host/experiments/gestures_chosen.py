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
                ("3x5 fedboard", 0, 0, 8, 80), ("3x5 fedboard", 0, 0, 5, 40),
                ("3x5 fedboard", 0, 0, 8, 80), ("3x5 fedboard", 0, 0, 8, 80),
                ("3x5 fedboard", 0, 0, 8, 80), ("3x5 fedboard", 0, 0, 8, 80),
                ("3x5 fedboard", 0, 0, 8, 80),
            ),
            "one model for all": (
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 80, 0, 0), ("3x5 centred", 5, 80, 0, 0),
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 5, 40, 0, 0),
                ("3x5 centred", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 centred", 9, 160, 6, 2), ("3x5 centred", 9, 80, 4, 10),
                ("3x5 centred", 5, 10, 4, 5), ("3x5 centred", 9, 160, 4, 5),
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 5, 80, 1, 1),
                ("3x5 centred", 5, 20, 4, 5),
            ),
        },
        2: {
            "each alone": (
                ("3x5 fedboard", 0, 0, 7, 40), ("3x5 centred", 0, 0, 8, 80),
                ("3x5 centred", 0, 0, 3, 10), ("3x5 fedboard", 0, 0, 7, 40),
                ("3x5 fedboard", 0, 0, 7, 40), ("3x5 fedboard", 0, 0, 7, 40),
                ("3x5 centred", 0, 0, 4, 5),
            ),
            "one model for all": (
                ("3x5 centred", 5, 40, 0, 0), ("3x5 centred", 5, 80, 0, 0),
                ("3x5 fedboard", 5, 40, 0, 0), ("3x5 centred", 5, 160, 0, 0),
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 5, 10, 0, 0),
                ("3x5 centred", 5, 20, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 centred", 9, 20, 4, 10), ("3x5 centred", 9, 40, 4, 10),
                ("3x5 centred", 9, 5, 6, 5), ("3x5 centred", 9, 5, 4, 10),
                ("3x5 centred", 5, 20, 4, 5), ("3x5 centred", 5, 10, 6, 2),
                ("3x5 centred", 9, 5, 4, 10),
            ),
        },
        5: {
            "each alone": (
                ("3x5 fedboard", 0, 0, 9, 80), ("3x5 fedboard", 0, 0, 9, 80),
                ("3x5 centred", 0, 0, 5, 2), ("3x5 fedboard", 0, 0, 9, 80),
                ("3x5 fedboard", 0, 0, 9, 80), ("3x5 fedboard", 0, 0, 9, 80),
                ("3x5 fedboard", 0, 0, 7, 20),
            ),
            "one model for all": (
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 5, 80, 0, 0),
                ("3x5 centred", 5, 80, 0, 0), ("3x5 centred", 9, 160, 0, 0),
                ("3x5 centred", 9, 160, 0, 0), ("3x5 fedboard", 9, 160, 0, 0),
                ("3x5 centred", 9, 160, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 centred", 9, 5, 4, 20), ("3x5 fedboard", 9, 5, 6, 5),
                ("3x5 fedboard", 9, 10, 8, 10), ("3x5 fedboard", 9, 10, 8, 20),
                ("3x5 centred", 5, 10, 6, 1), ("3x5 fedboard", 9, 160, 6, 5),
                ("3x5 fedboard", 9, 10, 8, 20),
            ),
        },
    },
    "punchflex, features chosen": {
        1: {
            "each alone": (
                ("2x6 centred", 0, 0, 7, 40), ("2x6 centred", 0, 0, 7, 40),
                ("2x6 centred", 0, 0, 7, 40), ("2x6 centred", 0, 0, 7, 40),
                ("2x6 centred", 0, 0, 7, 40), ("2x6 centred", 0, 0, 7, 40),
                ("2x6 centred", 0, 0, 7, 40),
            ),
            "one model for all": (
                ("2x6 centred", 5, 80, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("3x5 fedboard", 5, 80, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("2x6 centred", 5, 80, 0, 0), ("2x6 centred", 5, 40, 0, 0),
                ("2x6 centred", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("2x6 centred", 5, 40, 4, 5), ("2x6 centred", 9, 80, 4, 20),
                ("3x5 centred", 5, 10, 4, 5), ("2x6 centred", 9, 80, 4, 5),
                ("2x6 centred", 5, 80, 0, 0), ("2x6 centred", 5, 20, 6, 1),
                ("2x6 centred", 9, 160, 6, 5),
            ),
        },
        2: {
            "each alone": (
                ("2x6 centred", 0, 0, 8, 80), ("2x6 centred", 0, 0, 7, 40),
                ("2x6 centred", 0, 0, 8, 80), ("2x6 centred", 0, 0, 8, 80),
                ("2x6 centred", 0, 0, 8, 80), ("2x6 centred", 0, 0, 7, 20),
                ("2x6 centred", 0, 0, 8, 80),
            ),
            "one model for all": (
                ("2x6 centred", 5, 40, 0, 0), ("2x6 centred", 5, 40, 0, 0),
                ("2x6 centred", 5, 40, 0, 0), ("2x6 centred", 5, 40, 0, 0),
                ("2x6 centred", 5, 40, 0, 0), ("2x6 centred", 5, 10, 0, 0),
                ("2x6 centred", 5, 20, 0, 0),
            ),
            "one model, then personal": (
                ("2x6 centred", 9, 20, 6, 20), ("2x6 centred", 9, 10, 4, 10),
                ("2x6 centred", 9, 40, 4, 20), ("2x6 centred", 9, 5, 4, 10),
                ("2x6 centred", 9, 40, 6, 20), ("2x6 centred", 5, 5, 4, 5),
                ("2x6 centred", 5, 5, 4, 10),
            ),
        },
        5: {
            "each alone": (
                ("2x6 centred", 0, 0, 7, 40), ("3x5 fedboard", 0, 0, 9, 80),
                ("2x6 centred", 0, 0, 7, 40), ("2x6 centred", 0, 0, 7, 40),
                ("2x6 centred", 0, 0, 7, 40), ("2x6 centred", 0, 0, 7, 5),
                ("2x6 centred", 0, 0, 7, 40),
            ),
            "one model for all": (
                ("2x6 centred", 5, 40, 0, 0), ("2x6 centred", 5, 80, 0, 0),
                ("2x6 centred", 9, 160, 0, 0), ("2x6 centred", 5, 40, 0, 0),
                ("2x6 centred", 9, 160, 0, 0), ("2x6 centred", 5, 10, 0, 0),
                ("2x6 centred", 9, 160, 0, 0),
            ),
            "one model, then personal": (
                ("2x6 centred", 9, 5, 6, 10), ("2x6 centred", 9, 5, 4, 10),
                ("2x6 centred", 9, 5, 6, 20), ("2x6 centred", 9, 5, 6, 20),
                ("2x6 centred", 9, 20, 6, 10), ("2x6 centred", 9, 10, 6, 2),
                ("2x6 centred", 9, 5, 6, 10),
            ),
        },
    },
    "wand": {
        1: {
            "each alone": (
                ("3x5 fedboard", 0, 0, 5, 40), ("3x5 fedboard", 0, 0, 5, 40),
                ("3x5 fedboard", 0, 0, 5, 40),
            ),
            "one model for all": (
                ("3x5 fedboard", 5, 80, 0, 0), ("3x5 fedboard", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 fedboard", 5, 40, 10, 20), ("3x5 fedboard", 5, 40, 8, 1),
                ("3x5 fedboard", 5, 40, 8, 20),
            ),
        },
        2: {
            "each alone": (
                ("3x5 fedboard", 0, 0, 6, 40), ("3x5 fedboard", 0, 0, 5, 40),
                ("3x5 fedboard", 0, 0, 5, 80),
            ),
            "one model for all": (
                ("3x5 fedboard", 5, 40, 0, 0), ("3x5 fedboard", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 fedboard", 5, 40, 8, 1), ("3x5 fedboard", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 20, 8, 10),
            ),
        },
        5: {
            "each alone": (
                ("3x5 fedboard", 0, 0, 9, 80), ("3x5 fedboard", 0, 0, 8, 80),
                ("3x5 fedboard", 0, 0, 5, 40),
            ),
            "one model for all": (
                ("3x5 fedboard", 9, 80, 0, 0), ("3x5 fedboard", 9, 160, 0, 0),
                ("3x5 fedboard", 9, 160, 0, 0),
            ),
            "one model, then personal": (
                ("3x5 fedboard", 5, 10, 10, 20), ("3x5 fedboard", 9, 80, 10, 1),
                ("3x5 fedboard", 9, 40, 8, 20),
            ),
        },
    },
    "wand, features chosen": {
        1: {
            "each alone": (
                ("4x4 centred", 0, 0, 6, 40), ("3x5 fedboard", 0, 0, 5, 40),
                ("3x5 fedboard", 0, 0, 5, 40),
            ),
            "one model for all": (
                ("4x4 centred", 5, 80, 0, 0), ("4x4 centred", 5, 160, 0, 0),
                ("3x5 fedboard", 5, 80, 0, 0),
            ),
            "one model, then personal": (
                ("4x4 centred", 5, 80, 6, 20), ("3x5 fedboard", 5, 40, 8, 1),
                ("3x5 fedboard", 5, 40, 8, 20),
            ),
        },
        2: {
            "each alone": (
                ("4x4 centred", 0, 0, 6, 40), ("3x5 fedboard", 0, 0, 5, 40),
                ("3x5 fedboard", 0, 0, 5, 80),
            ),
            "one model for all": (
                ("4x4 centred", 5, 80, 0, 0), ("3x5 fedboard", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 40, 0, 0),
            ),
            "one model, then personal": (
                ("4x4 centred", 5, 80, 8, 5), ("3x5 fedboard", 5, 40, 0, 0),
                ("3x5 fedboard", 5, 20, 8, 10),
            ),
        },
        5: {
            "each alone": (
                ("4x4 centred", 0, 0, 6, 80), ("4x4 centred", 0, 0, 6, 80),
                ("3x5 fedboard", 0, 0, 5, 40),
            ),
            "one model for all": (
                ("4x4 centred", 5, 80, 0, 0), ("4x4 centred", 5, 80, 0, 0),
                ("4x4 centred", 5, 160, 0, 0),
            ),
            "one model, then personal": (
                ("4x4 centred", 5, 20, 8, 20), ("4x4 centred", 5, 80, 0, 0),
                ("4x4 centred", 5, 20, 8, 5),
            ),
        },
    },
}

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
