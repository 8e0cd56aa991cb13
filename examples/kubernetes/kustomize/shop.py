"""Takes stock every ten seconds, one replica at a time."""

import signal
import socket
import sys
import time

from metaparticle_sync import Lock

# SIGTERM ends the work, and with it the hold. Without a handler, process 1 of a container ignores it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

stock = Lock("stock")
while True:
    with stock:
        print(f"{socket.gethostname()} takes stock, with token {stock.token}")
        time.sleep(2)
    time.sleep(10)
