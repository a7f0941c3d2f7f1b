"""A receiver of webhooks as a user would write one, with nothing but Python.

    SECRET=… python3 receiver.py

Prints its port, and then one line of JSON for each delivery whose signature is good.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["SECRET"].encode()


def is_good(headers, body):
    stamp = headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > 300:
        return False
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    given = (s.partition(",") for s in headers["webhook-signature"].split())
    return any(v == "v1" and hmac.compare_digest(value, expected) for v, _, value in given)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = is_good(self.headers, body)
        line = {"id": self.headers["webhook-id"], "body": json.loads(body)} if good else {"forged": True}
        print(json.dumps(line), flush=True)
        self.send_response(204 if good else 401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Receiver)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()  # it ends with whoever started it
