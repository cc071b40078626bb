# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror of a guest: serves one directory over the connection that it is started with.

QEMU's user network starts it once per connection, with the connection as descriptors 0, 1 and 2, so no
server has to be kept alive. usage: httpd.py DIRECTORY. Without the directory it hangs up, as a mirror
that is down does.
"""

from __future__ import annotations

import http.server
import os
import socket
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, quietly; the base class keeps requests inside of the directory."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_words: object) -> None:
        """Descriptor 2 leads into the guest, so nothing may be written to it."""


def main() -> None:
    """Answer until the guest hangs up."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if os.path.isdir(sys.argv[1]):
        Handler(socket.socket(fileno=0), ("guest", 0), None, directory=sys.argv[1])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
