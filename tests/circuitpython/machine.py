raise ImportError("CircuitPython has no machine")
