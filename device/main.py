"""Starts fedboard: at boot as :/main.py, by `mpremote run device/main.py`, or on a desktop."""

import sys

# `mpremote cp -r device/ :` makes a folder /device, where no import looks by itself.
if "/device" not in sys.path:
    sys.path.append("/device")

try:
    from fedboard_device.node import run

    run()
except KeyboardInterrupt:
    print("fedboard: stopped")
