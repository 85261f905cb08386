class cpu:
    uid = b"\xde\x61\x85\xb2"


class watchdog:
    timeout = 0.0
    mode = None
    fed = 0

    @staticmethod
    def feed():
        watchdog.fed += 1
