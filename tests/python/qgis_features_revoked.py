"""The portal forgets all tokens between the metadata of a layer and its features."""

import sys

from qgis_support import done, feature_layer, roads, until
from qgis.core import QgsProject

import age_oauth.qgis

age_oauth.qgis.enable("prod")
layer = feature_layer(sys.argv[1])
QgsProject.instance().addMapLayer(layer)
print("ready", flush=True)
sys.stdin.readline()
assert roads(layer) < 7
until(lambda: roads(layer) == 7)
done()
