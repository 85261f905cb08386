"""Rule "fedboard" on Fashion-MNIST, beside TIFeD's and FedAvg in floats: accuracy and bytes.

See own_rule, which this names a data set to.
"""

from functools import partial

from fedboard_host.experiments import own_rule, tifed

NOTES = own_rule.NOTES
NAME = "fedboard-fashion"
run = partial(own_rule.run, tifed.FASHION)
