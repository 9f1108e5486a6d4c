"""The portal's token goes to the portal, a federated server gets its own, anybody else none, redirects included."""

import sys

import requests

from age_oauth import Connection, TokenAuth

ca, federated, foreign = sys.argv[1:]
prod = Connection("prod")
session = requests.Session()
session.auth = TokenAuth(prod)
session.verify = ca
portal = prod.portal_url

answer = session.get(f"{portal}/sharing/rest/community/self", params={"f": "json"})
assert answer.json()["username"] == "your.username"
assert "error" not in session.get(federated).json()
session.get(f"{foreign}/anything")
# The portal sends it away.
away = session.get(f"{portal}/sharing/rest/search", params={"f": "json", "q": "x"})
assert away.url.startswith(foreign), away.url
# A stream stays complete, and a body that is not JSON is not read.
with session.get(f"{portal}/sharing/rest/community/self", params={"f": "json"}, stream=True) as stream:
    assert b"".join(stream.iter_content(7)) == answer.content
print("done")
