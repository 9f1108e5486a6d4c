"""What every way to send requests trusts: authorities of variables are added to those of the system, within limits."""

import os
import pathlib
import sys

import certifi
from network_support import FORM, server, ways

username, folder = sys.argv[1:]
folder = pathlib.Path(folder)
# Whatever `certifi` has does not count where the system has authorities.
certifi.where = lambda: str(folder / "added.pem")

import age_oauth

prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"
elsewhere = f"https://localhost:{server(folder / 'other.pem', folder / 'other.key')}/"
without_gis = ways(prod)
with_gis = {**without_gis, "arcgis": lambda url: prod.get_gis().session.get(url, params=FORM)}


def refuses(way, get):
    try:
        get(elsewhere)
    except Exception as error:
        assert "certificate" in str(error), (way, error)
    else:
        raise AssertionError(f"{way}: {elsewhere} was accepted")


for way, get in without_gis.items():
    assert get(here).json()["username"] == username, way
    refuses(way, get)
certifi.where = lambda: str(folder / "own.pem")

# A FIFO is not waited for, and a device is not read to its end.
bundles = folder / "bundles"
bundles.mkdir()
fifo = bundles / "fifo.pem"
os.mkfifo(fifo)
large = folder / "large"
with open(large, "wb") as file:
    file.truncate(17 * 1024 * 1024)
for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
    for path in (fifo, "/dev/zero", large, bundles):
        os.environ[variable] = str(path)
        for way, get in with_gis.items() if path == fifo else without_gis.items():
            assert get(here).json()["username"] == username, (way, variable, path)
        del os.environ[variable]

# In addition to the connection's own.
added = folder / "folder"
added.mkdir()
(added / "any-name").write_bytes((folder / "added.pem").read_bytes())
for variable, path in (
    ("SSL_CERT_FILE", folder / "added.pem"),
    ("REQUESTS_CA_BUNDLE", folder / "added.pem"),
    ("CURL_CA_BUNDLE", folder / "added.pem"),
    ("SSL_CERT_DIR", added),
):
    os.environ[variable] = str(path)
    for way, get in with_gis.items():
        assert get(here).json()["username"] == username, (way, variable)
        assert get(elsewhere).status_code == 200, (way, variable)
    del os.environ[variable]
print("done")
