"""CircuitPython's usb_cdc, as far as a test needs it: two ports whose far ends are byte arrays."""


class Serial:
    def __init__(self):
        self.timeout = None
        self.write_timeout = None
        self.connected = True
        self.sent = bytearray()  # to the computer
        self.waiting = bytearray()  # from the computer

    @property
    def in_waiting(self):
        return len(self.waiting)

    def readinto(self, buffer):
        assert self.timeout == 0, "it would wait for ever"
        n = min(len(buffer), len(self.waiting))
        buffer[:n] = self.waiting[:n]
        self.waiting = self.waiting[n:]
        return n

    def write(self, data):
        assert self.write_timeout == 0, "it would wait for ever"
        n = min(len(data), 64)  # what its FIFO takes
        self.sent += bytes(data[:n])
        return n


console = Serial()
data = None  # what boot.py has not enabled
