"""Run by a board's interpreter: picks kernels and says which, and refuses wrong ones."""

import sys

from fedboard import kernels, selftest
from fedboard_device import backends

lines = []
print(backends.choose(lines.append), kernels.backend, lines)


class Wrong:
    name = "wrong"


for name in kernels.KERNELS:
    wrong = Wrong()
    setattr(wrong, name, lambda *arguments: None)
    assert selftest.failing(wrong) == name, name
assert selftest.failing(Wrong()) == ""
sys.stdout.write("ok\n")
