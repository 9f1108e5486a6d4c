"""What the tests of QGIS share, with its window and without: layers by their addresses, authorities, and waits that let events
happen."""

import faulthandler
import os
import time

from qgis.core import QgsNetworkAccessManager, QgsVectorLayer
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop
from qgis.PyQt.QtNetwork import QSslCertificate

#: A wait that takes longer is a failure, in seconds.
LONG = 120

# Where Python was, if QGIS crashes.
faulthandler.enable()


def trust_everywhere(path):
    """Lets each request trust this authority, also those that nothing signs. QGIS 3.22 without windows hangs at an unknown one,
    and with windows it would ask a person."""
    authorities = QSslCertificate.fromPath(path)

    def add(request):
        configuration = request.sslConfiguration()
        configuration.addCaCertificates(authorities)
        request.setSslConfiguration(configuration)

    QgsNetworkAccessManager.setRequestPreprocessor(add)


def feature_layer(url, name="roads"):
    return QgsVectorLayer(f"crs='EPSG:4326' url='{url}'", name, "arcgisfeatureserver")


def wait_for(condition):
    """Lets events happen until something is so. Returns what the condition returned; ``None`` if it takes too long."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
    return None


def figure(name, milliseconds):
    """Stores a figure for a person, if there is a folder for it: a busy machine may need longer. See ``tests/qgis/bounds``."""
    folder = os.environ.get("AGE_OAUTH_TEST_PICTURES")
    if folder:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "figures.txt"), "a", encoding="utf-8") as file:
            file.write(f"{name} {milliseconds:.3f}\n")
