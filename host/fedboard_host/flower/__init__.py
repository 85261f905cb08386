"""Many homes through Flower (flower.ai): the extra "flower" of the package.

    client    the ClientApp: hands an order to the home's companion, brings back its update
    server    the ServerApp: our strategies over homes
    strategy  what Flower calls in each round
    homes     what it does there: orders down, updates up, one merged model
    app       the folder that `flwr run` wants
    demo      SuperLink, SuperNodes and homes on this machine

To Flower's eyes a home is a client; to ours it is a board: the same codecs, the same integers.
"""
