"""A token whose life ends while QGIS runs."""

import sys
import time

from qgis_support import done, feature_layer, roads

import age_oauth.qgis

age_oauth.qgis.enable("prod")
end = time.monotonic() + 10
while time.monotonic() < end:
    layer = feature_layer(sys.argv[1])
    assert layer.isValid(), layer.error().summary()
    assert roads(layer) == 7
done()
