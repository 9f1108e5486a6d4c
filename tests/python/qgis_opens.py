"""A layer of the portal opens, with whatever its web server and its application ask for."""

import sys

from qgis_support import done, feature_layer, roads

import age_oauth.qgis

age_oauth.qgis.enable("prod")
layer = feature_layer(sys.argv[1])
assert layer.isValid(), layer.error().summary()
assert roads(layer) == 7
done()
