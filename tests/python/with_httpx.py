"""httpx gets what requests gets."""

import asyncio
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


async def together():
    async with httpx.AsyncClient(auth=HttpxTokenAuth(prod), verify=sys.argv[1]) as one:
        answers = await asyncio.gather(*(one.get(address, params={"f": "json"}) for _ in range(4)))
        assert all(answer.json().get("username") for answer in answers), answers


asyncio.run(together())
# The portal redirects to another host, which must not get the token.
away = client.get(f"{prod.portal_url}/sharing/rest/search", params={"f": "json", "q": "x"}, follow_redirects=True)
assert str(away.url).startswith(sys.argv[2]), away.url
print("done")
