"""A token and headers by address: the portal's own for the portal, a server's for a server, none for others."""

import sys

import requests

from age_oauth import AgeOAuthError, Connection, PortalRefused, UsageError

ca, server_layer, portal_layer, foreign = sys.argv[1:]
prod = Connection("prod")
assert prod.token(url=portal_layer) == prod.token() == prod.token(url=prod.portal_url)
assert prod.token(url=server_layer) not in (prod.token(), "")
for layer in (server_layer, portal_layer):
    query = {"where": "1=1", "returnCountOnly": "true", "f": "json"}
    answer = requests.get(f"{layer}/query", params=query, headers=prod.headers(layer), verify=ca).json()
    assert answer == {"count": 7}, answer
assert prod.headers() == prod.headers(prod.portal_url)
refused = {
    f"{foreign}/arcgis/rest/services": PortalRefused,
    prod.portal_url.replace("https:", "http:").replace("localhost", "gis.example.com"): UsageError,
    prod.portal_url.replace("https://", "https://someone:hidden@"): UsageError,
    f"{prod.portal_url}/../server": UsageError,
    "https:\\\\gis.example.com": UsageError,
    "": UsageError,
}
for address, kind in refused.items():
    for ask in (lambda: prod.token(url=address), lambda: prod.headers(address)):
        try:
            ask()
        except AgeOAuthError as error:
            assert type(error) is kind and error.hint, (address, error)
            assert "hidden" not in str(error), error
        else:
            raise AssertionError(f"a token for {address}")
print("done")
