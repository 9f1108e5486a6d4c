"""The proxy of the environment: every way to send requests reaches it with the login that the program sends."""

import os
import pickle
import secrets
import socket
import sys

from network_support import FORM, Tunnel, proxy, ways

import age_oauth

username = sys.argv[1]
prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"


def with_arcgis(url):
    return prod.get_gis().session.get(url, params=FORM)


# Before the environment names a proxy.
gis = prod.get_gis()
address = proxy()
without_gis = ways(prod).values()
words = secrets.token_hex(8)
for variable, named, login in (
    ("HTTPS_PROXY", f"http://DOMAIN\\me:{words}@{address}", f"DOMAIN\\me:{words}"),
    ("https_proxy", f"http://me@corp.example:{words}/@#?%zz[]@{address}", f"me@corp.example:{words}/@#?%zz[]"),
    ("ALL_PROXY", f"DOMAIN\\mé:{words}@{address}", f"DOMAIN\\mé:{words}"),
    ("all_proxy", f"http://DOMAIN%5Cme:{words}%40@{address}/", f"DOMAIN\\me:{words}@"),
):
    os.environ[variable] = named
    for way in (*without_gis, with_arcgis) if variable == "HTTPS_PROXY" else without_gis:
        Tunnel.seen.clear()
        assert way(here).json()["username"] == username, (variable, way)
        assert Tunnel.seen and set(Tunnel.seen) == {login}, (variable, way, Tunnel.seen)
    # Hosts that need no proxy.
    os.environ["NO_PROXY"] = "localhost,127.0.0.1"
    for way in without_gis:
        Tunnel.seen.clear()
        assert way(here).json()["username"] == username, (variable, way)
        assert not Tunnel.seen, (variable, way)
    del os.environ[variable], os.environ["NO_PROXY"]



def reaches_the_proxy(get, **variables):
    """Whether a request to another host, which none answers by this name, goes through the proxy."""
    os.environ.update(variables)
    Tunnel.seen.clear()
    try:
        get("https://gis.example.org/portal")
    except Exception:
        pass  # It has no address; with one, its certificate would be for another name.
    else:
        raise AssertionError("a host without an address answered")
    finally:
        for variable in variables:
            del os.environ[variable]
    return bool(Tunnel.seen)


# Names of `example.org` lead to this machine, here and in the proxy.
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **options: real(
    "127.0.0.1" if str(host).endswith("example.org") else host, *more, **options
)
anonymous = f"http://{address}"
session = prod.session()
every_way = {
    **dict(zip(("requests", "httpx", "httpx, asynchronous"), without_gis)),
    "arcgis": gis.session.get,
    "a session from a pickle": pickle.loads(pickle.dumps(session)).get,
}
for name, get in every_way.items():
    assert reaches_the_proxy(get, HTTPS_PROXY=anonymous), name
    assert reaches_the_proxy(get, HTTPS_PROXY=anonymous, NO_PROXY="*.example.com"), name
    for listed in ("*.example.org", "other,*.EXAMPLE.org:443", ".example.org"):
        assert not reaches_the_proxy(get, HTTPS_PROXY=anonymous, NO_PROXY=listed), (name, listed)
# A proxy that the caller names is used.
assert reaches_the_proxy(lambda url: session.get(url, proxies={"https": anonymous}), NO_PROXY="*.example.org")

os.environ["HTTPS_PROXY"] = f"http://DOMAIN\\me:{words}"
for way in without_gis:
    try:
        way(here)
    except age_oauth.UsageError as error:
        assert "the address of a proxy cannot be read" in str(error) and words not in str(error), error
    else:
        raise AssertionError(f"{way} sent a request")
print("done")
