"""`fedboard reproduce tifed-fashion`: see tifed."""

from functools import partial

from fedboard_host.experiments import tifed

NAME = tifed.FASHION.name
run = partial(tifed.run, tifed.FASHION)
