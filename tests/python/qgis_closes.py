"""QGIS is closed, or its connection disabled, while drawings wait for a token that does not come."""

import sys

from qgis_support import LONG, application, color, done, drawing, map_layer, until
from qgis.PyQt.QtCore import QTimer

import age_oauth.qgis
from age_oauth import _servers
from age_oauth._signer import Signer

land, red, green, blue = sys.argv[1:]
age_oauth.qgis.enable("prod")
layer = map_layer(land)
assert color(layer) == (int(red), int(green), int(blue))
print("ready", flush=True)
sys.stdin.readline()


asked, answer = [], Signer.answer


def counted(*arguments):
    asked.append(1)
    return answer(*arguments)


def waiting():
    """Drawings of which one at least waits within the hook."""
    age_oauth.qgis._hook.signer.portals[0].connection._provider.forget()
    asked.clear()
    jobs = [drawing(layer, number) for number in range(4)]
    for job in jobs:
        job.start()
    until(lambda: asked)
    assert all(job.isActive() for job in jobs)
    return jobs


Signer.answer = counted
# No wait ends by itself.
age_oauth.qgis.WAIT = _servers.FIRST_WAIT = 10 * LONG
jobs = waiting()
age_oauth.qgis.disable()
until(lambda: not any(job.isActive() for job in jobs))
age_oauth.qgis.enable("prod")
jobs = waiting()
QTimer.singleShot(0, application.quit)
application.exec()
assert age_oauth.qgis._hook is None
until(lambda: not any(job.isActive() for job in jobs))
done()
