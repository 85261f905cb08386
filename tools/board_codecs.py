# mypy: ignore-errors
"""What the wire costs a board, for board_script: updates, models, masks and frames.

Each function measures and tells board_stopwatch.say(); times are without the link's own.
"""

import gc

from board_stopwatch import CLOCK, CYCLES_PER_US, clock, numbers, say


def codec_costs(folder):
    """Top-5 % of 10,000 weights at 4 bits, against a base on flash; and the same coming down."""
    from fedboard import model, update
    from fedboard_device.store import FileBase

    spec = model.Spec((199, 50))
    base = FileBase(folder, print)
    params = model.new_params(spec)
    base.begin(spec.pack())
    base.write(params)
    base.commit(1, spec.digest(params))
    for i in range(0, len(params), 100):
        params[i : i + 100] = numbers("h", 100, -200, 200, i + 1)
    gc.collect()
    began = clock()
    up = update.Update(spec, params, base, 1, 50, 4)
    up.prepare()
    selected = clock()
    n_bytes = 0
    for chunk in up.chunks():
        n_bytes += len(chunk)
    ended = clock()
    say("select 500 of 10000", ((selected - began) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("encode 500 of 10000", ((ended - selected) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("500 of 10000", n_bytes, "bytes")
    gc.collect()
    began = clock()
    spec.digest(params)
    us = ((clock() - began) & 0xFFFFFFFF) / CYCLES_PER_US
    say("digest", 2 * len(params) / us * 1e3, "kB/s")
    gc.collect()
    mask_costs(spec, params, base)
    base.close()


def mask_costs(spec, params, base):
    """The same 5 % masked among 8 boards, and what one tells to open the sum if one is lost."""
    from fedboard import cohort, messages
    from fedboard.party import Party

    party = Party(bytes(32), "board0")
    for i in range(8):
        party.take(cohort.Peer(round=1, nonce=bytes(16), place=i, of=8, name=f"board{i}"))
    task = messages.Task(
        run=1, round=1, version=1, op=messages.TRAIN, layers=1, epochs=1, top_permille=50, bits=16,
        flags=messages.MASKED,
    )  # fmt: skip
    began = clock()
    n_bytes = 0
    for chunk in party.update(spec, params, base, 1, task).chunks():
        n_bytes += len(chunk)
    masked = clock()
    told = party.answer(cohort.Unmask(round=1, nonce=bytes(16), survivors=0x7F, of=0))
    ended = clock()
    say("mask 500 of 10000, 8 boards", ((masked - began) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("500 of 10000 masked", n_bytes, "bytes")
    say("open the sum, 1 of 8 lost", ((ended - masked) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("opening", sum([len(opening.pack()) for opening in told]), "bytes")


def frame_costs(backend):
    """In: from a link's buffer, where a frame is unstuffed in place."""
    from fedboard import wire

    if backend in ("viper", "thumb"):
        module = __import__("fedboard_device.kernels_frame_" + backend)
        wire.use(getattr(module, "kernels_frame_" + backend))
    payload = bytes([(i * 73) & 255 for i in range(184)])
    n = 20
    began = clock()
    for i in range(n):
        frame = wire.pack(5, i, 0, wire.FROM_HUB, i, payload)
    took = (clock() - began) & 0xFFFFFFFF
    say("frames out", n * len(payload) / (took / CYCLES_PER_US) * 1e3, "kB/s")
    decoder = wire.Decoder()
    view = memoryview(bytearray(len(frame)))
    took = 0
    for _ in range(n):
        view[:] = frame
        began = clock()
        for stuffed in decoder.feed(view):
            wire.unpack(stuffed)
        took += (clock() - began - CLOCK) & 0xFFFFFFFF
    say("frames in", n * len(payload) / (took / CYCLES_PER_US) * 1e3, "kB/s")
