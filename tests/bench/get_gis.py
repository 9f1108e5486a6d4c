"""Prints the median milliseconds of get_gis and of GIS alone with the same token, and how many processes 1,000 requests
start."""

import statistics
import sys
import time

from arcgis.gis import GIS
from requests.auth import AuthBase

from age_oauth import Connection, _program, get_gis

connection = Connection(sys.argv[1])
header = connection.headers()


class Given(AuthBase):
    token = ""

    def __call__(self, request):
        request.headers.update(header)
        return request


def milliseconds(make):
    start = time.perf_counter()
    make()
    return (time.perf_counter() - start) * 1000


bundle = connection.meta.ca_bundle
alone = lambda: GIS(connection.portal_url, custom_auth=Given(), ca_bundles=bundle).properties  # noqa: E731
ours = lambda: get_gis(connection.label)  # noqa: E731
ours(), alone()
times = [(milliseconds(ours), milliseconds(alone)) for _ in range(20)]
gis = get_gis(connection.label)
starts = []
start = _program.start
_program.start = lambda *words, **options: starts.append(words) or start(*words, **options)
for _ in range(1000):
    answer = gis.session.get(f"{gis.url}/sharing/rest/community/self", params={"f": "json"}).json()
    assert answer["username"], answer
print(*(statistics.median(column) for column in zip(*times)), len(starts))
