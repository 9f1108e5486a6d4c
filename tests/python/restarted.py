"""The portal forgets all access tokens, also the newer one that the program has: the sign-in is still good."""

import sys

import httpx
import requests

from age_oauth import HttpxTokenAuth, TokenAuth, get_gis

gis = get_gis("prod")
prod = gis.session.auth.connection
address = f"{prod.portal_url}/sharing/rest/community/self?f=json"
bundle = prod.meta.ca_bundle
session = requests.Session()
session.auth = TokenAuth("prod")
session.verify = bundle
client = httpx.Client(auth=HttpxTokenAuth("prod"), verify=bundle)
for one in (session, client):
    assert one.get(address).json()["username"]
for _ in range(3):
    # Each of the three has an old token; the program has a newer one; the portal accepts neither.
    print("ready", flush=True)
    sys.stdin.readline()
    assert len(gis.content.search("anything")) == 2
    assert session.get(address).json()["username"]
    assert client.get(address).json()["username"]
    for provider in (prod._provider, session.auth.connection._provider, client.auth._auth.connection._provider):
        for slot in provider._slots.values():
            slot.forced.clear()  # As after a minute.
print("done")
