"""Rule "fedboard" on MNIST, beside TIFeD's and FedAvg in floats: accuracy, rounds and bytes.

See own_rule, which this names a data set to.
"""

from functools import partial

from fedboard_host.experiments import own_rule, tifed

NOTES = own_rule.NOTES
NAME = "fedboard-mnist"
run = partial(own_rule.run, tifed.MNIST)
