"""An emulated Raspberry Pi Pico that runs real MicroPython: what start_pico.py and tests use.

    lab        Pico: starts one, cuts its power, ends it         kit        what it takes, cached
    packages   fetches by apt, npm and pip                       firmware   builds MicroPython's rp2
    emulator   in JavaScript, run by node                        README.md  what is true of it

Everything comes from package registries by name, and is built here; nothing of it is committed.
"""
