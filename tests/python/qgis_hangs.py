"""The token has ended and the portal answers nothing: how long the main thread stands still, and that the layer comes later."""

import sys
import time
from unittest import mock

from qgis_support import application, done, figure, named, until
from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtNetwork import QNetworkRequest

import age_oauth.qgis

address = sys.argv[1]
age_oauth.qgis.enable("prod")
hook = age_oauth.qgis._hook
stops = []
last = [time.perf_counter()]


def tick():
    now = time.perf_counter()
    stops.append(now - last[0])
    last[0] = now


timer = QTimer()
timer.timeout.connect(tick)
timer.start(1)
came = []
hook._layers.needed.connect(lambda: came.append(1))
longest = []
sign = hook.sign


def measured(request):
    began = time.perf_counter()
    sign(request)
    longest.append(time.perf_counter() - began)


replies = []
with mock.patch.object(hook, "sign", measured):
    for number in range(20):
        request = named(f"{address}?f=json&number={number}", "QgsArcGisRestUtils")
        replies.append(QgsNetworkAccessManager.instance().get(request))
        # Nothing that was sent without its token is kept.
        assert not replies[-1].request().hasRawHeader(b"X-Esri-Authorization")
        assert replies[-1].request().attribute(QNetworkRequest.Attribute.CacheSaveControlAttribute) is False
        application.processEvents()
    until(lambda: all(reply.isFinished() for reply in replies))
figure("hang", max(longest) * 1000)
figure("hang-between-events", max(stops) * 1000)
print("ready", flush=True)
sys.stdin.readline()
until(lambda: came)
done()
