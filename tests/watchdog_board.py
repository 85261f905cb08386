"""Run by interpreters that have sockets: does a watchdog bite while a board waits for a network?

Prints how long it was left alone at most while there was no WiFi, in ms, and how often it was fed
while neither of two hosts answered.
"""

import sys

from fedboard_device import system, tcp


class Clock:
    """Time that only sleeping takes, and a watchdog that is fed in it."""

    now_ms = fed_ms = longest_ms = n = 0

    def sleep(self, duration_ms):
        self.now_ms += duration_ms

    def feed(self):
        self.longest_ms = max(self.longest_ms, self.now_ms - self.fed_ms)
        self.fed_ms = self.now_ms
        self.n += 1


class Station:
    def active(self, on):
        pass

    def isconnected(self):
        return False

    def connect(self, ssid, password):
        pass

    def disconnect(self):
        pass


class Network:
    STA_IF = 0

    @staticmethod
    def WLAN(_):
        return Station()


clock = system._watchdog = Clock()
system.clock_ms = lambda: clock.now_ms
system.sleep_ms = clock.sleep
sys.modules["network"] = Network
system.DESKTOP = False
try:
    tcp.join_wifi("home", "secret")
except OSError as error:
    print(error)
system.feed()
print(clock.now_ms, clock.longest_ms)
system.DESKTOP = True
clock.n = 0
try:
    tcp.Tcp([("127.0.0.1", 1), ("127.0.0.1", 2)], {}).open()  # where nobody listens
except OSError:
    print(clock.n)
