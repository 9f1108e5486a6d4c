"""Prints the longest wait for a token, in milliseconds, while the next one is fetched: the median of 20 renewals."""

import statistics
import sys
import time

from age_oauth import Connection

provider = Connection(sys.argv[1])._provider
longest = []
for _ in range(20):
    token = provider.token()
    # Good, and due.
    token._ends = time.monotonic() + 80
    waits = []
    while provider._slots[""].token is token:
        start = time.perf_counter()
        provider.token()
        waits.append((time.perf_counter() - start) * 1000)
        time.sleep(0.0005)
    longest.append(max(waits))
print(statistics.median(longest))
