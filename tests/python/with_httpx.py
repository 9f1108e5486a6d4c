"""httpx gets what requests gets."""

import sys

import httpx

from age_oauth import Connection, HttpxTokenAuth

prod = Connection("prod")
client = httpx.Client(auth=HttpxTokenAuth(prod), verify=sys.argv[1])
address = f"{prod.portal_url}/sharing/rest/community/self"
assert client.get(address, params={"f": "json"}).json()["username"]
print("ready", flush=True)
sys.stdin.readline()
answer = client.get(address, params={"f": "json"}).json()
assert answer.get("username"), answer
# A form is sent a second time as it was the first time.
answer = client.post(address, data={"f": "json"}).json()
assert answer.get("username"), answer
print("done")
