"""What the tests with QGIS share: QGIS without windows, layers by their addresses, and waits that let events happen."""

import faulthandler
import os
import time

from qgis.core import (
    QgsApplication,
    QgsBlockingNetworkRequest,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsNetworkAccessManager,
    QgsNetworkRequestParameters,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QSize, QUrl
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtNetwork import QNetworkRequest, QSslCertificate

#: A wait that takes longer is a failure, in seconds.
LONG = 120

#: The attribute with the class that makes a request.
INITIATOR = QNetworkRequest.Attribute(int(QgsNetworkRequestParameters.RequestAttributes.AttributeInitiatorClass))

# Where Python was, if QGIS crashes.
faulthandler.enable()
application = QgsApplication([], False)
application.initQgis()


def trust_everywhere(path):
    """Lets each request trust this authority, also those that nothing signs. QGIS 3.22 without windows hangs at an unknown one."""
    authorities = QSslCertificate.fromPath(path)

    def add(request):
        configuration = request.sslConfiguration()
        configuration.addCaCertificates(authorities)
        request.setSslConfiguration(configuration)

    QgsNetworkAccessManager.setRequestPreprocessor(add)


def done():
    """The end of a test that has passed."""
    application.exitQgis()
    print("done", flush=True)


def feature_layer(url):
    return QgsVectorLayer(f"crs='EPSG:4326' url='{url}'", "roads", "arcgisfeatureserver")


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
    end = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > end:
            # An exception would let Python wait for the threads of QGIS.
            faulthandler.dump_traceback(all_threads=True)
            os._exit(1)
        application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)


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
