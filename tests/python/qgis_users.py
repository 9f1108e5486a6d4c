"""Another user signs in to the connection while QGIS runs: he gets no token there."""

import sys
import logging

from qgis_support import done, opens, until

import age_oauth.qgis

layer = sys.argv[1]
told = []
logging.getLogger("age_oauth").addHandler(type("Told", (logging.Handler,), {"emit": lambda self, one: told.append(one.getMessage())})())
age_oauth.qgis.enable("prod")
assert opens(layer)
print("ready", flush=True)
sys.stdin.readline()
assert not opens(layer)
until(lambda: told)
assert sys.argv[2] in told[0] and sys.argv[3] in told[0], told
assert not opens(layer)
assert len(told) == 1, told
done()
