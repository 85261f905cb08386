"""fedboard on a board: everything that touches hardware, files and time.

    node      the loop: link -> fedboard.board.Board -> link       start here: node.run()
    link      USB serial and TCP           system    clock, id, randomness, console
    store     model and samples on flash   sensors   where samples come from
    config    /fedboard.json
"""
