class WatchDogMode:
    RESET = "reset"
