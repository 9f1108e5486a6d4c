"""Layers of the portal and of a federated server, refused first, and signed in afterwards."""

import os
import sys

from qgis_support import color, done, feature_layer, map_layer, roads, trust_everywhere
from qgis.core import QgsNetworkAccessManager, QgsProject

import age_oauth.qgis

authority, portal_layer, server_layer, server_map, red, green, blue = sys.argv[1:]
trust_everywhere(authority)
for address in (portal_layer, server_layer):
    assert not feature_layer(address).isValid()
# QGIS takes a map layer without its metadata for valid.
assert color(map_layer(server_map)) == (255, 255, 255)

age_oauth.qgis.enable()
for address in (portal_layer, server_layer):
    layer = feature_layer(address)
    assert layer.isValid(), layer.error().summary()
    assert roads(layer) == 7, roads(layer)
    QgsProject.instance().addMapLayer(layer)
layer = map_layer(server_map)
assert layer.isValid(), layer.error().summary()
assert color(layer) == (int(red), int(green), int(blue)), color(layer)
QgsProject.instance().addMapLayer(layer)
for name in ("project.qgs", "project.qgz"):
    assert QgsProject.instance().write(name)
# What the test searches for tokens holds the answers that QGIS keeps.
cache = QgsNetworkAccessManager.instance().cache()
assert os.path.realpath(cache.cacheDirectory()).startswith(os.path.realpath(os.getcwd())), cache.cacheDirectory()
assert cache.cacheSize() > 0
done()
