"""Omniglot: new characters from one or five drawings, a convolution that learns on boards.

Homes own characters (25 each) and train one network together (fedboard.conv, 16-32-64 channels, 32
features): each visit a home learns a stream of its drawings, one at a time; the host averages the
shared layers; the last one stays at home, as in TinyMetaFed. Then a board gets five characters of
alphabets that no home had, one or five drawings of each, and learns those, all layers, one drawing
at a time, from a last layer of zeros. Queries are judged one by one (non-transductive).

Integers means: nothing on a board is a float, neither in the homes' learning nor in adaptation;
the host averages with fractions and sends int16. Settings were chosen on VALIDATION, an alphabet
of the training set, without it in training:
    python -c "from fedboard_host.experiments import omniglot; omniglot.choose()"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedboard_host.characters import WAYS, Characters, NewTasks, load, load_digits
from fedboard_host.experiments import common
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.conv_learner import (
    BOARDS,
    LAYERS,
    PASSES,
    Learner,
    adapt,
    spec_of,
    train,
)
from fedboard_host.experiments.kept import Kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "omniglot"
HELD_OUT = ("Greek", "Tagalog")
VALIDATION = ("Sanskrit",)
ROUNDS = 300
TASKS = 100  # a seed's own
SHOTS = (1, 5)
# choose() tries to learn and to adapt with
_RATES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18), (0.0038, 0.0075, 0.015, 0.03, 0.06, 0.12)
_SHIFTS = (6, 7, 8), (7, 8, 9)
_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "data" / "omniglot28.npz"

NOTES = """
Both goals are met, and the aim of 85 %. All of it is in integers: the homes' learning, with exact
integer backpropagation through the convolutions, and a new board's adaptation.

* **What helped**: a narrow layer of 32 features behind the convolutions; shifting each drawing at
  random; last layers that stay at home and are kept between visits (starting them anew at every
  visit was several points behind on the validation alphabet after twice as many samples); in
  integers, saturated units that may still come down, and a first layer that starts at a quarter, so
  that int8 activations have room.
* **Where it does not pay**: all drawings in one place, learned as one problem of 804 characters,
  are ahead with half the samples. That is the price of leaving drawings at home.
* **A last layer that forgets**: where homes begin every visit with a last layer of zeros, fifty
  samples of 25 characters are too few to learn one, and what goes back through it spoils the rest.
  Its rates are not to blame: shifts of 7 and 8, and of 6 to 8 to adapt with, gave 31 to 41 % from
  five drawings of the validation alphabet, one seed. So boards have to keep theirs: over the
  protocol that is `tinymetafed` with `keep_local`.
* **What bounds it**: 201 characters and their rotations are few, and so are 300 rounds: one seed
  of 600 rounds was about two points better, in floats. From one drawing integers and floats alike
  are ten points worse than from five.
* **Settings** were tried on Sanskrit, one seed each, with 600 rounds of a prototype of this
  arithmetic (sums in float32). Rounds were then halved to save time, after a first seed on the test
  alphabets. choose() tries the rates again, and shifts of 6 and 7 to learn and to adapt with are
  worse than the 7 and 8 of integers. Floats learn best at 0.05 (two seeds, a point better than at
  0.03; 0.08 is worse) and adapt at 0.0075. TinyReptile's rate is its own: 0.12, the best of 0.02 to
  0.18, 71.6 % there from five drawings where 0.03 gave 55.4 %. So is the one at which a random
  start adapts, 0.06 of 0.0075 to 0.12, and so are joint training's, 0.02 of 0.01 to 0.18 and 0.0075
  of 0.0038 to 0.12 (two seeds at the lower ends).
* Bytes are of dense shared layers, all boards together; no sparse updates were tried.
"""

INTEGERS = Learner("integers, local last layer", integers=True)
FLOATS = Learner("floats, local last layer", rate=0.05, adapt_rate=0.0075)
LEARNERS = (
    INTEGERS,
    FLOATS,
    replace(INTEGERS, name="integers, local last layer, anew at every visit", forget=True),
    Learner("floats, joint training: one home has all characters", ways=0, boards=1,
            rounds=BOARDS / 2, rate=0.02, adapt_rate=0.0075),
    Learner("floats, TinyReptile: 5-way tasks, all layers shared", ways=WAYS, anew=True,
            shared_head=True, rate=0.12),
    Learner("floats, random start", rounds=0, adapt_rate=0.06),
)  # fmt: skip


def run(
    quick: bool = False,
    seeds: int = 5,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    data: Path | None = None,
    resume: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__."""
    characters, held_out = find(data)
    rounds, n_tasks = (6, 10) if quick else (ROUNDS, TASKS)
    learners = [INTEGERS, FLOATS, LEARNERS[-1]] if quick else list(LEARNERS)
    if quick:
        seeds = min(seeds, 2)
    training = characters.only(sorted(set(characters.alphabet.tolist()) - set(held_out))).turned()
    new = characters.only(held_out)
    clock = common.Clock(NAME)
    settings = {each.name: (each, rounds, n_tasks, held_out, LAYERS, PASSES) for each in learners}
    kept = Kept(NAME, out_dir, resume, settings, seeds)
    found = kept.rows
    jobs = [
        (learner, seed)
        for seed in range(1, seeds + 1)
        for learner in learners
        if (learner.name, seed) not in kept.done
    ]

    def work(job: tuple[Learner, int]) -> list[Row]:
        rows = study(*job, training, new_tasks(new, n_tasks, job[1]), rounds)
        clock.tell(f"{job[0].name}, seed {job[1]}", jobs.index(job) + 1, len(jobs))
        return rows

    with ThreadPoolExecutor(2) as pool:
        for some in pool.map(work, jobs):
            found += kept.stamped(some)
            common.save(NAME, found, out_dir)  # an hour's run that is stopped keeps what it has
    order = [learner.name for learner in LEARNERS]
    found.sort(key=lambda row: (order.index(row.variant), row.seed or 0))
    rows = found + [
        Row(NAME, "1-nearest neighbour on pixels", seed, _metric(shots), None, own.nearest())
        for seed in range(1, seeds + 1)
        for shots, own in new_tasks(new, n_tasks, seed).items()
    ]
    n_params = spec_of(characters.side, WAYS, 1).n_params
    rows.append(Row(NAME, INTEGERS.name, None, "parameters", None, n_params))
    common.finish(NAME, rows, out_dir, as_json, tuple(_metric(shots) for shots in SHOTS))
    common.draw(out_dir / f"{NAME}.png", lambda figure: _paint(figure, rows), 12, 5)
    return rows


def new_tasks(characters: Characters, n: int, seed: int) -> dict[int, NewTasks]:
    """By the number of shots."""
    return {shots: NewTasks(characters, n, shots, seed) for shots in SHOTS}


def find(data: Path | None) -> tuple[Characters, tuple[str, ...]]:
    """The characters, and which alphabets are held out. data: a file, or a folder that has it."""
    path = data / "omniglot28.npz" if data is not None and data.is_dir() else data
    if path is None and _BESIDE.is_file():
        path = _BESIDE
    if path is not None:
        return load(path), HELD_OUT
    print(
        "*** No omniglot28.npz: --data tells where it is. These figures are of scikit-learn's\n"
        "*** digits, 0 to 4 to learn on, 5 to 9 as new: they show that the experiment runs, no "
        "more.", file=sys.stderr, flush=True,
    )  # fmt: skip
    return load_digits(), ("high",)


def choose(
    seeds: Sequence[int] = (101,),
    rounds: int = ROUNDS,
    only: Sequence[int] = (),
    rates: Sequence[float] = (),
    adapt_rates: Sequence[float] = (),
) -> None:
    """Print validation accuracies over a grid, from which the settings above were taken.

    Means over seeds, from one drawing and from five. only: these of LEARNERS; rates, adapt_rates:
    these alone.
    """
    characters, held_out = find(None)
    used = set(characters.alphabet.tolist()) - set(held_out) - set(VALIDATION)
    training = characters.only(sorted(used)).turned()
    tasks = new_tasks(characters.only(VALIDATION), TASKS, 0)
    for base in [LEARNERS[i] for i in only] or LEARNERS:
        grid = _SHIFTS if base.integers else _RATES
        own_rates = rates or grid[0]
        for rate in own_rates if base.rounds else own_rates[:1]:
            learner = replace(base, rate=rate)
            starts = [train(learner, training, seed, round(base.rounds * rounds)) for seed in seeds]
            for adapt_rate in adapt_rates or grid[1]:
                own = replace(learner, adapt_rate=adapt_rate)
                found = [
                    [adapt(own, spec, start, some)[-1] for some in tasks.values()]
                    for spec, start in starts
                ]
                text = ", ".join(f"{value:.3f}" for value in np.mean(found, axis=0))
                print(f"{base.name}, {rate}, adapt {adapt_rate}: {text}", flush=True)


def study(
    learner: Learner, seed: int, training: Characters, tasks: dict[int, NewTasks], rounds: int
) -> list[Row]:
    """One learner's rows."""
    clock = common.Clock(NAME, quiet=True)
    n_rounds = round(learner.rounds * rounds)
    spec, start = train(learner, training, seed, n_rounds)
    seconds = clock.seconds
    sent = spec.at(spec.n_layers - (not learner.shared_head)) * (2 if learner.integers else 4)
    n_bytes = sent * learner.boards * n_rounds if learner.ways else None
    rows = []
    for shots, own in tasks.items():
        for passes, accuracy in zip(PASSES, adapt(learner, spec, start, own), strict=True):
            rows.append(
                Row(NAME, learner.name, seed, _metric(shots, passes), None, accuracy, n_bytes,
                    n_rounds if learner.ways else None, seconds, n_bytes)
            )  # fmt: skip
    return rows


def _metric(shots: int, passes: int = PASSES[-1]) -> str:
    text = f"accuracy, {WAYS}-way {shots}-shot"
    return text if passes == PASSES[-1] else f"after {passes} of {PASSES[-1]} passes: {text}"


def _paint(figure: Figure, rows: Sequence[Row]) -> None:
    """Accuracy by learner, one panel for each number of shots."""
    variants = list(dict.fromkeys(row.variant for row in rows))
    panels = figure.subplots(1, len(SHOTS), sharey=True)
    for axes, shots in zip(panels, SHOTS, strict=True):
        for k, variant in enumerate(variants):
            values = [r.ours for r in rows if (r.variant, r.metric) == (variant, _metric(shots))]
            mean, half = common.interval(values)
            axes.barh(k, mean, color=common.COLOURS[k % len(common.COLOURS)],
                      xerr=None if np.isnan(half) else half)  # fmt: skip
            axes.text(0.01, k, f"{mean:.3f}", va="center", color="white")
        axes.axvline(1 / WAYS, color="black", linestyle=":")
        axes.set_title(f"{shots} drawing{'s' if shots > 1 else ''} of each character")
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy on new characters (dotted: chance)")
        axes.grid(True, axis="x", alpha=0.25)
    panels[0].set_yticks(range(len(variants)), [_wrap(variant) for variant in variants])
    panels[0].invert_yaxis()
    figure.suptitle("Omniglot, alphabets that no home had: five characters")


def _wrap(text: str) -> str:
    return text.replace(": ", ":\n").replace(", ", ",\n", 1)
