#!/usr/bin/env python3
"""PESQ-WB of pairs of WAV files: reads `reference degraded` a line, prints a number a line, or `-`.

ITU-T P.862.2 in the version of the PyPI package `pesq`; 4.64 is the top of the scale.
"""

import sys
import wave

import numpy
from pesq import pesq


def read(path):
    with wave.open(path) as file:
        assert file.getframerate() == 16000
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype=numpy.int16)


for line in sys.stdin:
    reference, degraded = line.split()
    try:
        print(f"{pesq(16000, read(reference), read(degraded), 'wb'):.3f}", flush=True)
    except Exception:  # nothing but silence in one of them
        print("-", flush=True)
