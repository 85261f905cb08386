raise ImportError("CircuitPython has no network")
