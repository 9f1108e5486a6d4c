"""Two connections: to one portal, which is an error that names both, and to two."""

import sys

from qgis_support import done, feature_layer, opens, roads

import age_oauth.qgis

one, two = sys.argv[1:]
age_oauth.qgis.enable("prod")
try:
    age_oauth.qgis.enable("same")
except age_oauth.UsageError as error:
    assert "`prod`" in error.message and "`same`" in error.message, error
else:
    raise AssertionError("both are enabled")
age_oauth.qgis.enable("other")
assert roads(feature_layer(one)) == 7
assert roads(feature_layer(two)) == 7
age_oauth.qgis.disable("prod")
age_oauth.qgis.enable("same")
assert opens(one)
done()
