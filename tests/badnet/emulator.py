#!/usr/bin/env python3
"""A bad network between this machine and a network namespace of it. Needs root and /dev/net/tun.

  emulator.py NAMESPACE ADDRESS [key=value …]

Makes the namespace and joins it by two TUN devices: ADDRESS (a /30's first, as 10.213.7.1) is
here, the one after it is there. Every packet goes through this process, which delays it, varies
that, and loses some, each way by itself. Order is kept, as on one radio link. Says `ready`, then
takes the same settings from standard input, a line at a time; ends, and takes all of it away
again, when that ends.

  delay=30       ms, one way
  jitter=30      ms: each packet's delay is even over delay ± jitter, but never ahead of the one before
  loss=2         per cent, each packet by itself
  blackout=3     seconds from now in which everything is lost
  hold=3         seconds from now in which everything waits, and nothing is lost
"""

import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
# What may be on its way, each direction: far more than one call needs, and an end.
MOST_PACKETS = 5000
MOST_BYTES = 2048
SETTINGS = {"delay": 0.0, "jitter": 0.0, "loss": 0.0, "blackout": 0.0, "hold": 0.0}


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


class Way:
    """One direction: packets and when they are due."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.queue = deque()
        self.last = 0.0

    def take(self, now, net):
        while True:
            try:
                packet = os.read(self.source, MOST_BYTES)
            except BlockingIOError:
                return
            dark = now < net.dark_until
            if dark or len(self.queue) >= MOST_PACKETS or net.random.random() * 100 < net.loss:
                continue
            vary = net.random.uniform(-net.jitter, net.jitter)
            due = max(now + max(0.0, net.delay + vary) / 1000, self.last, net.held_until)
            self.last = due
            self.queue.append((due, packet))

    def give(self, now):
        while self.queue and self.queue[0][0] <= now:
            _, packet = self.queue.popleft()
            try:
                os.write(self.target, packet)
            except OSError:
                pass

    def due(self):
        return self.queue[0][0] if self.queue else None


class Net:
    def __init__(self, settings, seed):
        self.random = random.Random(seed)
        self.delay = self.jitter = self.loss = 0.0
        self.dark_until = self.held_until = 0.0
        for setting in settings:
            self.set(setting)

    def set(self, text):
        key, _, value = text.strip().partition("=")
        if key not in SETTINGS:
            raise SystemExit(f"no setting '{key}'; there are {', '.join(SETTINGS)}")
        number = float(value)
        if key == "blackout":
            self.dark_until = time.monotonic() + number
        elif key == "hold":
            self.held_until = time.monotonic() + number
        else:
            setattr(self, key, number)


def main():
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        raise SystemExit(__doc__)
    space, near = sys.argv[1:3]
    head, _, last = near.rpartition(".")
    far = f"{head}.{int(last) + 1}"
    # The same seed each time would lose the handshake's first packet for everybody, or for nobody.
    net = Net(sys.argv[3:], os.getpid())
    device = f"bn{os.getpid() % 1000000}"
    ip("netns", "add", space)
    try:
        here = tun(device)
        ip("addr", "add", near, "peer", far, "dev", device)
        ip("link", "set", device, "up", "txqueuelen", "1000")
        libc = ctypes.CDLL(None, use_errno=True)
        ours = os.open("/proc/self/ns/net", os.O_RDONLY)
        theirs = os.open(f"/run/netns/{space}", os.O_RDONLY)
        if libc.setns(theirs, CLONE_NEWNET):
            raise SystemExit("the namespace can't be entered")
        there = tun("tun0")
        libc.setns(ours, CLONE_NEWNET)
        ip("-n", space, "addr", "add", far, "peer", near, "dev", "tun0")
        ip("-n", space, "link", "set", "tun0", "up", "txqueuelen", "1000")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "route", "add", "default", "via", near)
        print("ready", flush=True)
        forward(net, [Way(here, there), Way(there, here)])
    finally:
        subprocess.run(["ip", "netns", "del", space], check=False)


def forward(net, ways):
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass  # then a busy machine adds a little jitter of its own
    while True:
        now = time.monotonic()
        dues = [due for due in (way.due() for way in ways) if due is not None]
        wait = None if not dues else max(0.0, min(dues) - now)
        ready, _, _ = select.select([sys.stdin, *(way.source for way in ways)], [], [], wait)
        now = time.monotonic()
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            net.set(line)
        for way in ways:
            if way.source in ready:
                way.take(now, net)
            way.give(now)


main()
