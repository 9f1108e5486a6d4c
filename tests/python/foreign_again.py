"""The portal rejects a token, and redirects the request that is sent again with another one to a foreign host."""

import asyncio
import sys

import httpx
import requests

from age_oauth import Connection, HttpxTokenAuth, TokenAuth, get_gis

ca, foreign = sys.argv[1:]
url = f"{Connection('prod').portal_url}/sharing/rest/search"
options = {"params": {"f": "json", "q": "x"}}


def ours():
    """One whose tokens are not those of another: few renewals of one may be forced."""
    return Connection("prod")


async def by_client():
    async with ours().httpx_async_client(follow_redirects=True) as client:
        return await client.get(url, **options)


answers = [
    requests.get(url, auth=TokenAuth(ours()), verify=ca, **options),
    ours().session().get(url, **options),
    get_gis(ours()).session.get(url, **options),
    httpx.get(url, auth=HttpxTokenAuth(ours()), verify=ca, follow_redirects=True, **options),
    asyncio.run(by_client()),
]
for answer in answers:
    assert str(answer.url).startswith(foreign), answer.url
print("done")
