"""Layers on hosts that are none of the portal's, and requests of other code to the portal."""

import sys

from qgis_support import INITIATOR, LONG, done, feature_layer, get, named, trust_everywhere, until
from qgis.core import (
    QgsLayoutExporter,
    QgsLayoutFrame,
    QgsLayoutItemHtml,
    QgsLayoutItemPicture,
    QgsLayoutSize,
    QgsNetworkAccessManager,
    QgsPrintLayout,
    QgsProject,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

import age_oauth.qgis

authority, foreign, standalone, portal = sys.argv[1:]
trust_everywhere(authority)
age_oauth.qgis.enable("prod")
for one in (foreign, standalone):
    for name in ("Roads", "Lakes", "Land"):
        feature_layer(f"{one}/rest/services/{name}/FeatureServer/0")

# Other code, without a name and with the names of other classes.
assert b"499" in get(portal)
for name in ("", "QgsWebPage", "QgsAbstractContentCache<Image>", "QgsVectorTileLoader", "qgsarcgisrestutils"):
    assert b"499" in get(portal, name), name

# The project of a stranger, whose layout loads a picture and a page from the portal.
project = QgsProject.instance()
layout = QgsPrintLayout(project)
layout.initializeDefaults()
picture = QgsLayoutItemPicture(layout)
picture.setPicturePath(f"{portal}?f=json&picture.png")
picture.attemptResize(QgsLayoutSize(50, 50))
layout.addLayoutItem(picture)
page = QgsLayoutItemHtml(layout)
frame = QgsLayoutFrame(layout, page)
frame.attemptResize(QgsLayoutSize(50, 50))
page.addFrame(frame)
page.setContentMode(QgsLayoutItemHtml.ContentMode.Url)
page.setUrl(QUrl(f"{portal}?f=json&page.html"))
layout.addMultiFrame(page)
project.layoutManager().addLayout(layout)
page.loadHtml(False)
QgsLayoutExporter(layout).exportToImage("layout.png", QgsLayoutExporter.ImageExportSettings())

assert b"499" in bytes(QgsNetworkAccessManager.instance().blockingGet(QNetworkRequest(QUrl(portal)), "", True).content())

# A copy of a signed request for another host, as code makes it that follows a redirect.
request = named(f"{portal}?f=json", "QgsArcGisRestUtils")
until(lambda: age_oauth.qgis._hook.signer.answer(portal, LONG).token)
reply = QgsNetworkAccessManager.instance().get(request)
until(reply.isFinished)
assert reply.request().hasRawHeader(b"X-Esri-Authorization")
for name in ("QgsArcGisRestUtils", ""):
    copy = QNetworkRequest(reply.request())
    copy.setUrl(QUrl(f"{foreign}/rest/services/Copied/FeatureServer/0?f=json"))
    copy.setAttribute(INITIATOR, name)
    reply = QgsNetworkAccessManager.instance().get(copy)
    until(reply.isFinished)
    reply = QgsNetworkAccessManager.instance().get(request)
    until(reply.isFinished)
done()
