"""The integral of theme-integral.R by NumPy, as the Python package sharedmem runs it: two forked processes over an anonymous shared
mapping, a lock, chunks from a shared counter, and the sums returned. Prints the seconds, and the three sums.

    python integral.py N CHUNK
"""
import mmap
import multiprocessing
import os
import sys
import time

import numpy

n, chunk = int(sys.argv[1]), int(sys.argv[2])
start = time.time()
xdx = numpy.frombuffer(mmap.mmap(-1, n * 8), dtype="f8")
total = numpy.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), dtype="f8")
following = numpy.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), dtype="i8")
lock = multiprocessing.Lock()
results = multiprocessing.SimpleQueue()


def work(i):
    s = slice(i, i + chunk)
    begin, end, _ = s.indices(len(xdx))
    xdx[s] = numpy.arange(begin, end) / len(xdx) * (1.0 / len(xdx))
    a = xdx[s].sum(dtype="f8")
    with lock:
        total[0] += a
    return i, a


pids = []
for _ in range(2):
    pid = os.fork()
    if pid:
        pids.append(pid)
        continue
    while True:
        with lock:
            i = int(following[0])
            following[0] += chunk
        if i >= n:
            os._exit(0)
        results.put(work(i))
got = [results.get() for _ in range(0, n, chunk)]
for pid in pids:
    os.waitpid(pid, 0)
sums = [sum(a for _, a in got), total[0], xdx.sum()]
print(time.time() - start, *sums)
