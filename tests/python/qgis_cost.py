"""What the hook costs: enabling, and each request with a token in memory."""

import sys
import time

from qgis_support import done, feature_layer, figure, named

began = time.perf_counter()
import age_oauth.qgis

imported = time.perf_counter()
age_oauth.qgis.enable("prod")
enabled = time.perf_counter()
assert feature_layer(sys.argv[1]).isValid()


def cost(url, name, times=2000):
    requests = [named(f"{url}?f=json&number={number}", name) for number in range(times)]
    start = time.perf_counter()
    for request in requests:
        age_oauth.qgis._before(request)
    return (time.perf_counter() - start) / times * 1000, requests[0].hasRawHeader(b"X-Esri-Authorization")


signed, has_token = cost(sys.argv[1], "QgsArcGisRestUtils")
assert has_token
other, has_token = cost(sys.argv[1], "QgsWebPage")
assert not has_token
figure("import", (imported - began) * 1000)
figure("enable", (enabled - imported) * 1000)
figure("request", signed)
figure("other-request", other)
done()
