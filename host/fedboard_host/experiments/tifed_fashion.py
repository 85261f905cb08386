"""TIFeD on Fashion-MNIST, with true copies of the weights, and as the published code has it.

See tifed, which this names a data set to.
"""

from functools import partial

from fedboard_host.experiments import tifed

NAME = tifed.FASHION.name
run = partial(tifed.run, tifed.FASHION)
