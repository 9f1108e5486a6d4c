"""QGIS without windows, under the tests."""

import faulthandler
import os

from qgis.core import (
    QgsApplication,
    QgsBlockingNetworkRequest,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsNetworkRequestParameters,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QSize, QUrl
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtNetwork import QNetworkRequest
from qgis_shared import LONG, feature_layer, figure, trust_everywhere, wait_for  # noqa: F401

#: The attribute with the class that makes a request.
INITIATOR = QgsNetworkRequestParameters.RequestAttributes.AttributeInitiatorClass
# An enum of PyQt 6 is not a number, but has one.
INITIATOR = QNetworkRequest.Attribute(int(getattr(INITIATOR, "value", INITIATOR)))

application = QgsApplication([], False)
application.initQgis()


def done():
    """The end of a test that has passed."""
    application.exitQgis()
    print("done", flush=True)


def map_layer(url):
    return QgsRasterLayer(f"crs='EPSG:4326' format='PNG32' layer='0' url='{url}'", "land", "arcgismapserver")


def roads(layer):
    return sum(1 for _ in layer.getFeatures())


def drawing(layer, number=0):
    """A drawing that has not begun; each number is another part of the map."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(QgsRectangle(2 + number, 42, 18 + number, 58))
    settings.setOutputSize(QSize(64, 64))
    settings.setBackgroundColor(QColor(255, 255, 255))
    return QgsMapRendererParallelJob(settings)


def color(layer):
    """The color in the middle of a picture of the layer."""
    job = drawing(layer)
    job.start()
    until(lambda: not job.isActive())
    return job.renderedImage().pixelColor(32, 32).getRgb()[:3]


def until(condition):
    """Lets events happen until something is so."""
    if not wait_for(condition):
        # An exception would let Python wait for the threads of QGIS.
        faulthandler.dump_traceback(all_threads=True)
        os._exit(1)


def named(url, name):
    """A request that says that this class makes it."""
    request = QNetworkRequest(QUrl(url))
    request.setAttribute(INITIATOR, name)
    return request


def get(url, name=None):
    """The answer to a request of other code, or of the class with this name."""
    blocking = QgsBlockingNetworkRequest()
    blocking.get(QNetworkRequest(QUrl(url)) if name is None else named(url, name), True)
    return bytes(blocking.reply().content())


def opens(url):
    """Whether QGIS's own code gets the metadata of this layer, by one request past the cache."""
    return b"Roads" in get(f"{url}?f=json", "QgsArcGisRestUtils")
