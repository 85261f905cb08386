"""`fedboard reproduce tifed-mnist`: see tifed."""

from functools import partial

from fedboard_host.experiments import tifed

NAME = tifed.MNIST.name
run = partial(tifed.run, tifed.MNIST)
