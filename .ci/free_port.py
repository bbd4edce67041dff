"""Refuses, with the fix, when a port is taken: `python3 .ci/free_port.py 8080`."""

import socket
import sys

port = int(sys.argv[1])
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(
            f"Port {port} is not free ({error.strerror}).\n"
            f"  Another demo may be running: stop it, or open http://127.0.0.1:{port}/\n"
            f"  Beside it:  make demo PORT={port + 1} DATA=var/demo2"
        )
