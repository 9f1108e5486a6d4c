"""What the scripts about requests share: every way to send one, a proxy, and another server than the portal."""

import asyncio
import base64
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FORM = {"f": "json"}


def ways(prod):
    """Every way in which a connection sends a GET request, except Esri's package, by its name."""

    def with_httpx(url):
        with prod.httpx_client() as client:
            return client.get(url, params=FORM)

    def with_httpx_in_a_loop(url):
        async def get():
            async with prod.httpx_async_client() as client:
                return await client.get(url, params=FORM)

        return asyncio.run(get())

    return {
        "requests": lambda url: prod.session().get(url, params=FORM),
        "httpx": with_httpx,
        "httpx, asynchronous": with_httpx_in_a_loop,
    }


class Answers(BaseHTTPRequestHandler):
    """Another server than the portal."""

    seen = []

    def do_GET(self):
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def server(cert, key, handler=Answers, clients=None):
    """The port of a server with this certificate, which may ask for those of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_OPTIONAL
    made = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.handle_error = lambda *_: None
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made.server_port


class Tunnel(socketserver.StreamRequestHandler):
    """A proxy that answers CONNECT, and accepts every login."""

    #: The logins of all requests, `None` where one had none.
    seen = []

    def handle(self):
        host, _, port = self.rfile.readline().split()[1].decode().rpartition(":")
        login = None
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name.lower() == "proxy-authorization":
                login = base64.b64decode(value.partition(" ")[2]).decode()
        self.seen.append(login)
        with socket.create_connection((host, int(port))) as target:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pass_on, args=(target, self.connection), daemon=True)
            back.start()
            self.pass_on(self.connection, target)
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


def proxy():
    """Host and port of a proxy that notes what it saw in `Tunnel.seen`."""
    made = Proxy(("127.0.0.1", 0), Tunnel)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return f"127.0.0.1:{made.server_address[1]}"
