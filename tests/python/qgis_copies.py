"""A copy of a signed request for another address, as QGIS's own code makes it that follows a redirect, carries nothing of it."""

import sys

from qgis_support import INITIATOR, LONG, done, named, until
from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

import age_oauth.qgis

ELSEWHERE = "https://localhost:9/rest/services/Copied/FeatureServer/0?f=json"

portal, referer = sys.argv[1:]
age_oauth.qgis.enable("prod")
signer = age_oauth.qgis._hook.signer
until(lambda: signer.answer(portal, LONG).token)


def sent(request):
    """The request as it leaves QGIS."""
    reply = QgsNetworkAccessManager.instance().get(request)
    until(reply.isFinished)
    return reply.request()


def carries(request):
    own = request.sslConfiguration()
    headers = [bytes(request.rawHeader(name)).decode() for name in (b"X-Esri-Authorization", b"Referer")]
    return [*headers, not own.localCertificate().isNull(), not own.privateKey().isNull()]


def copied(request, name):
    copy = QNetworkRequest(request)
    copy.setUrl(QUrl(ELSEWHERE))
    copy.setAttribute(INITIATOR, name)
    return carries(sent(copy))


signed = sent(named(f"{portal}?f=json", "QgsArcGisRestUtils"))
assert carries(signed)[0].startswith("Bearer ") and carries(signed)[1:] == [referer, True, True], carries(signed)[1:]
for name in ("QgsArcGisAsyncQuery", ""):
    assert copied(signed, name) == ["", "", False, False], name
# Also when its token was forgotten: its connection was disabled, and another one is enabled.
signer.remove(signer.portals[0].id)
for name in ("QgsArcGisAsyncQuery", ""):
    assert copied(signed, name) == ["", "", False, False], name
# What a layer carries by itself is left alone.
age_oauth.qgis.enable("prod")
until(lambda: age_oauth.qgis._hook.signer.answer(portal, LONG).token)
own = named(f"{portal}?f=json", "QgsArcGisRestUtils")
own.setRawHeader(b"Authorization", b"Basic YW5hOnB3")
assert carries(sent(own)) == ["", "", False, False]
done()
