class radio:
    connected = False
    joined = None

    @staticmethod
    def connect(ssid, password):
        radio.joined = (ssid, password)
        radio.connected = True

    @staticmethod
    def stop_station():
        radio.connected = False
