# SPDX-License-Identifier: GPL-3.0-or-later
"""STAND-IN, not GitLab: the health addresses of GitLab behind a web server, for tests.

For the first seconds after its start (their number is in /etc/gitlab-standin) it answers 502, as nginx does
while puma is not there yet. Afterwards /-/health, /-/liveness and /-/readiness answer 200 to the host itself
and 404 to everybody else: GitLab's allowlist of monitoring addresses. Any other address leads to the login page.
"""
from __future__ import print_function

import json
import time
from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
from SocketServer import ThreadingMixIn

STARTED = time.time()
with open('/etc/gitlab-standin') as handle:
    SLOW_SECONDS = float(handle.read())
OK = {
    '/-/health': ('text/plain', 'GitLab OK'),
    '/-/liveness': ('application/json', json.dumps({'status': 'ok'})),
    '/-/readiness': ('application/json', json.dumps({'status': 'ok', 'master_check': [{'status': 'ok'}]})),
}


class Handler(BaseHTTPRequestHandler):
    """One request; no keep-alive."""

    timeout = 10

    def do_GET(self):
        """Answer as the module says."""
        path = self.path.split('?')[0]
        if time.time() - STARTED < SLOW_SECONDS:
            self.answer(502, 'text/html', 'GitLab is not responding (stand-in)')
        elif path not in OK:
            self.answer(302, 'text/html', '', Location='/users/sign_in')
        elif self.client_address[0].startswith('127.'):
            self.answer(200, *OK[path])
        else:
            self.answer(404, 'text/html', 'The page could not be found (stand-in)')

    def answer(self, code, kind, body, **headers):
        """Send one whole answer."""
        self.send_response(code)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Keep the journal for what matters."""


class Server(ThreadingMixIn, HTTPServer):
    """A slow client must not hold up the others."""

    daemon_threads = True

    def server_bind(self):
        """Bind without asking the name server who we are."""
        self.socket.setsockopt(1, 2, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = 'gitlab-standin', self.server_address[1]


Server(('0.0.0.0', 80), Handler).serve_forever()
