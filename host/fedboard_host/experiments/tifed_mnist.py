"""TIFeD on MNIST, with true copies of the weights, and as the published code has it.

See tifed, which this names a data set to.
"""

from functools import partial

from fedboard_host.experiments import tifed

NOTES = tifed.NOTES
NAME = tifed.MNIST.name
run = partial(tifed.run, tifed.MNIST)
