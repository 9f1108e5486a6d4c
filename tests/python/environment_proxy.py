"""The proxy of the environment: every way to send requests reaches it with the login that the program sends."""

import asyncio
import base64
import os
import secrets
import socket
import socketserver
import sys
import threading

import age_oauth

username = sys.argv[1]
prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"
form = {"f": "json"}


class Tunnel(socketserver.StreamRequestHandler):
    """A proxy that answers CONNECT, and asks for a login."""

    seen = []

    def handle(self):
        host, _, port = self.rfile.readline().split()[1].decode().rpartition(":")
        login = None
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name.lower() == "proxy-authorization":
                login = base64.b64decode(value.partition(" ")[2]).decode()
        Tunnel.seen.append(login)
        with socket.create_connection((host, int(port))) as server:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pass_on, args=(server, self.connection), daemon=True)
            back.start()
            self.pass_on(self.connection, server)
            back.join()

    @staticmethod
    def pass_on(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True


def with_requests():
    with prod.session() as session:
        return session.get(here, params=form)


def with_httpx():
    with prod.httpx_client() as client:
        return client.get(here, params=form)


def with_httpx_in_a_loop():
    async def get():
        async with prod.httpx_async_client() as client:
            return await client.get(here, params=form)

    return asyncio.run(get())


def with_arcgis():
    return prod.get_gis().session.get(here, params=form)


proxy = Proxy(("127.0.0.1", 0), Tunnel)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
address = f"127.0.0.1:{proxy.server_address[1]}"
words = secrets.token_hex(8)
ways = (with_requests, with_httpx, with_httpx_in_a_loop)
for variable, named, login in (
    ("HTTPS_PROXY", f"http://DOMAIN\\me:{words}@{address}", f"DOMAIN\\me:{words}"),
    ("https_proxy", f"http://me@corp.example:{words}/@#?%zz[]@{address}", f"me@corp.example:{words}/@#?%zz[]"),
    ("ALL_PROXY", f"DOMAIN\\mé:{words}@{address}", f"DOMAIN\\mé:{words}"),
    ("all_proxy", f"http://DOMAIN%5Cme:{words}%40@{address}/", f"DOMAIN\\me:{words}@"),
):
    os.environ[variable] = named
    for way in (*ways, with_arcgis) if variable == "HTTPS_PROXY" else ways:
        Tunnel.seen.clear()
        assert way().json()["username"] == username, (variable, way)
        assert Tunnel.seen and set(Tunnel.seen) == {login}, (variable, way, Tunnel.seen)
    # Hosts that need no proxy.
    os.environ["NO_PROXY"] = "localhost,127.0.0.1"
    for way in ways:
        Tunnel.seen.clear()
        assert way().json()["username"] == username, (variable, way)
        assert not Tunnel.seen, (variable, way)
    del os.environ[variable], os.environ["NO_PROXY"]

os.environ["HTTPS_PROXY"] = f"http://DOMAIN\\me:{words}"
for way in ways:
    try:
        way()
    except age_oauth.UsageError as error:
        assert "the address of a proxy cannot be read" in str(error) and words not in str(error), error
    else:
        raise AssertionError(f"{way} sent a request")
print("done")
