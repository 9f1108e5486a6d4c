"""Ctrl-C while the program extends the sign-in: the program is waited for, and is not killed."""

import signal
import subprocess
import sys

import age_oauth

kill = subprocess.Popen.kill


def killed(process):
    print("killed", flush=True)
    kill(process)


def interrupted(*_):
    print("interrupted", flush=True)
    raise KeyboardInterrupt


subprocess.Popen.kill = killed
signal.signal(signal.SIGINT, interrupted)
try:
    age_oauth.get_token("prod")
except KeyboardInterrupt:
    print("done", flush=True)
    sys.exit()
raise SystemExit("it was not interrupted")
