"""fedboard on a board: everything that touches hardware, files and time.

    node      start here: node.run()       runner    the loop: link -> fedboard.board.Board -> link
    link      to the host: console, tcp    system    clock, id, randomness, memory
    store     the model on flash           samplefile, sensors    where samples come from
    config    /fedboard.json               backends  the fastest kernels
"""

import gc

# Collect early and often, from before the other modules load: what stays then lies close together,
# and the rest of the heap is one piece. On a Pico the largest model has 146 kB instead of 48.
if hasattr(gc, "threshold"):
    gc.threshold(16384)
