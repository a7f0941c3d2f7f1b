#!/usr/bin/env python3
"""When frames arrive over the kernel's own TCP on a bad network, both ways at once. Needs what emulator.py needs.

  tcp.py SECONDS CALLS [key=value …]

Settings as emulator.py takes them. Each call is one connection with a frame of 20 ms each way, with the
options of the gateway's own end (src/net/listen.rs) here and a browser's there. Prints JSON: {"down": [call …],
"up": [call …]}, a call being the ms from its begin to each frame's arrival. In real time, but it needs next to
no processor, so a machine may do something else beside it.
"""

import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

FRAME_S = 0.02
# 640 bytes of sound, and what WebSocket and TLS put around them.
WIRE_BYTES = 666
STAMP = struct.Struct("<d")
# What may be late at the end.
LINGER_S = 3
NOTSENT_LOWAT = 25
HERE = os.path.dirname(os.path.abspath(__file__))


def talk(sockets, begin, seconds):
    """Sends a frame a tick to each, and gives when those of the other side came."""
    selector = selectors.DefaultSelector()
    waits, came, parts = ({i: b"" for i in sockets}, {i: [] for i in sockets}, {i: b"" for i in sockets})
    for i, s in sockets.items():
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, i)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass
    # The calls' ticks are spread, so that they do not come in one burst.
    due = {i: begin + FRAME_S * n / len(sockets) for n, i in enumerate(sockets)}
    end = begin + seconds
    while (now := time.monotonic()) < end + LINGER_S:
        for i, s in sockets.items():
            if due[i] <= now and due[i] < end:
                waits[i] += STAMP.pack(due[i]) + bytes(WIRE_BYTES - STAMP.size)
                due[i] += FRAME_S
            if waits[i]:
                try:
                    waits[i] = waits[i][s.send(waits[i]) :]
                except BlockingIOError:
                    pass
        left = min(due.values()) - time.monotonic() if min(due.values()) < end else 0.02
        for key, _ in selector.select(max(0.0, min(left, 0.005 if any(waits.values()) else left))):
            i = key.data
            parts[i] += key.fileobj.recv(65536)
            now = time.monotonic()
            while len(parts[i]) >= WIRE_BYTES:
                came[i].append((now, STAMP.unpack_from(parts[i])[0]))
                parts[i] = parts[i][WIRE_BYTES:]
    # The first was sent at the call's begin.
    return [[round(1000 * (at - call[0][1]), 2) for at, _ in call] for call in came.values() if call]


def far(address, port, calls, seconds):
    sockets = {i: socket.create_connection((address, port)) for i in range(calls)}
    for i, s in sockets.items():
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(bytes([i]))
    for s in sockets.values():
        begin = STAMP.unpack(s.recv(STAMP.size, socket.MSG_WAITALL))[0]
    print(json.dumps(talk(sockets, begin, seconds)))


def near(seconds, calls, settings):
    space, address = f"badnet-tcp-{os.getpid()}", f"10.214.{os.getpid() % 250}.1"
    emulator = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "emulator.py"), space, address, *settings],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if emulator.stdout.readline() != b"ready\n":
            raise SystemExit("there is no emulator")
        listener = socket.socket()
        listener.bind((address, 0))
        listener.listen(calls)
        words = ["far", address, listener.getsockname()[1], calls, seconds]
        other = subprocess.Popen(
            ["ip", "netns", "exec", space, sys.executable, os.path.abspath(__file__), *map(str, words)], stdout=subprocess.PIPE)
        sockets = {}
        for _ in range(calls):
            s, _ = listener.accept()
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, 4096)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            sockets[s.recv(1)[0]] = s
        begin = time.monotonic() + 1
        for s in sockets.values():
            s.sendall(STAMP.pack(begin))
        up = talk(dict(sorted(sockets.items())), begin, seconds)
        print(json.dumps({"down": json.loads(other.communicate()[0]), "up": up}))
    finally:
        emulator.stdin.close()
        emulator.wait()


if len(sys.argv) > 1 and sys.argv[1] == "far":
    far(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
elif len(sys.argv) < 3:
    raise SystemExit(__doc__)
else:
    near(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
