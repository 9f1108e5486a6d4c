"""A server that rejects each token."""

import sys

from qgis_support import application, done, feature_layer
from qgis.core import QgsProject

import age_oauth.qgis

age_oauth.qgis.enable("prod")
for _ in range(30):
    layer = feature_layer(sys.argv[1])
    assert not layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    application.processEvents()
done()
