"""The ClientApp of a home. Flower starts a process for each message: the companion does the work.

`flower-supernode --node-config 'home="/path/of/runs/kitchen"'` names the run's folder of the
companion, `fedboard run home.toml --flower`.
"""

from __future__ import annotations

from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedboard import DataError
from fedboard_host import door

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """One round: the order that is in the message, as it is; and the home's reply."""
    home = context.node_config.get("home")
    if not home:
        raise DataError("""start the SuperNode with --node-config 'home="FOLDER OF THE RUN"'""")
    order = message.content["order"]["message"]
    assert isinstance(order, bytes)
    reply = door.knock(Path(str(home)), order)
    head, _ = door.unpack(reply)
    content = RecordDict({
        "reply": ConfigRecord({"message": reply}),
        "metrics": MetricRecord({"num-examples": int(head["n_samples"])}),
    })  # fmt: skip
    return Message(content=content, reply_to=message)
