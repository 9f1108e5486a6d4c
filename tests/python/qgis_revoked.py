"""The portal forgets all tokens: layers that were loaded, and one that is loaded then, get new ones by themselves."""

import sys

from qgis_support import color, done, feature_layer, map_layer, roads, until
from qgis.core import QgsNetworkAccessManager, QgsProject

import age_oauth.qgis

age_oauth.qgis.enable("prod")
land, red, green, blue, *addresses = sys.argv[1:]
expected = int(red), int(green), int(blue)
picture = map_layer(land)
QgsProject.instance().addMapLayer(picture)
layers = [feature_layer(one) for one in addresses]
for layer in layers:
    assert layer.isValid(), layer.error().summary()
    QgsProject.instance().addMapLayer(layer)
print("ready", flush=True)
sys.stdin.readline()
QgsNetworkAccessManager.instance().cache().clear()
assert color(picture) != expected
late = [feature_layer(one) for one in addresses]
for layer in late:
    assert not layer.isValid()
    QgsProject.instance().addMapLayer(layer)
until(lambda: all(layer.isValid() for layer in late))
for layer in [*layers, *late]:
    until(lambda: roads(layer) == 7)
until(lambda: color(picture) == expected)
done()
