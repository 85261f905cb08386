"""How a board makes the global model its own, unless told otherwise.

`fedboard personalize` and the dashboard's button ask for the same. Settled on gestures of people
(docs/results.md#gestures): many passes over samples with jitter (fedboard.jitter), and answers that
are blended with the global model's (fedboard.blend).
"""

from __future__ import annotations

from fedboard import messages

SHOTS = 5  # samples of each class; all others judge
PASSES = 40
JITTER = 28  # of an int8 input
SEED = 1


def task(
    rule: str,
    n_classes: int,
    *,
    shots: int = SHOTS,
    passes: int = PASSES,
    rate: int = 0,
    jitter: int = JITTER,
    is_blended: bool = True,
    seed: int = SEED,
    token: int = 0,
) -> messages.Task:
    """The task for a model of this rule; "" and 0 classes: nobody knows. rate 0: the rule's own.

    A model of numbers is neither blended nor learns with jitter: its inputs may be all that counts.
    """
    if rule == "float-squared":
        is_blended, jitter = False, 0
    return messages.Task(
        round=token, op=messages.ADAPT, flags=messages.KEEP | is_blended * messages.BLEND,
        shots=shots, n_max=passes * shots * (n_classes or 10), batch=1,
        rate=rate, seed=seed, jitter=jitter,
    )  # fmt: skip
