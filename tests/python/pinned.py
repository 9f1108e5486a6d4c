"""A pinned certificate: every way in which Python sends requests accepts it at the portal, and nothing else because of it."""

import os
import sys

from network_support import FORM, Answers, server, ways

import age_oauth

username, folder, refused, trusted = sys.argv[1:]
prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"


def started(name):
    """The port of a server with this certificate."""
    return server(*(os.path.join(folder, f"{name}.{kind}") for kind in ("pem", "key")))


session = prod.session()
gis = prod.get_gis()
assert gis.users.me.username == username
every_way = {
    **ways(prod),
    "requests": lambda url: session.get(url, params=FORM),
    "arcgis": lambda url: gis.session.get(url, params=FORM),
}
port = started(refused)
# At the host of the portal, and at another one.
addresses = [f"https://{host}:{port}/" for host in ("localhost", "127.0.0.1")]
for way, get in every_way.items():
    assert get(here).json()["username"] == username, way
    for url in addresses:
        try:
            get(url)
        except Exception as error:
            assert "certificate" in str(error), (way, url, error)
        else:
            raise AssertionError(f"{way}: {url} was accepted")
assert Answers.seen == [], Answers.seen
if trusted != "none":
    url = f"https://127.0.0.1:{started(trusted)}/"
    for way, get in every_way.items():
        assert get(url).status_code == 200, way
    assert len(Answers.seen) == len(every_way)
print("done")
