"""A small web server of the lab, by HTTPS: `python -m lab.web ADDRESS PORT CERTIFICATE KEY`. It answers every GET."""

import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address
from pathlib import Path

from lab.certificates import Authority
from lab.host import Host
from lab.mesh import write_private
from lab.process import Process

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDER = "/etc/isthmus"
ANSWER = "the wiki\n"
FETCH_SECONDS = 3.0


class Page(BaseHTTPRequestHandler):
    """One page, whatever is asked for."""

    timeout = 10.0

    def do_GET(self) -> None:  # the name is http.server's
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER.encode())


class Server(ThreadingHTTPServer):
    """Listens at an IPv6 address."""

    address_family = socket.AF_INET6


def serve(host: Host, address: str, port: int, authority: Authority) -> Process:
    """Start it on a host, with a certificate of `authority`."""
    issued = authority.issue(IPv6Address(address))
    write_private(host.path(f"{FOLDER}/web.key"), issued.key)
    host.path(f"{FOLDER}/web.pem").write_text(issued.certificate)
    command = [sys.executable, "-m", "lab.web", address, str(port), f"{FOLDER}/web.pem", f"{FOLDER}/web.key"]
    running = host.start(command, name="web", env={"PYTHONPATH": str(CHECKOUT)})
    running.wait_for("listening on")
    return running


def fetch_command(host: Host, address: str, port: int, authority: Authority) -> list[str]:
    """What a person types on a host to get the page; the host is told of `authority`."""
    ca = f"{FOLDER}/web-ca.pem"
    host.path(ca).write_text(authority.certificate)
    return ["curl", "-sS", "--max-time", f"{FETCH_SECONDS:g}", "--cacert", ca, f"https://[{address}]:{port}/"]


def main(address: str, port: str, certificate: str, key: str) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server((address, int(port)), Page) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        print(f"listening on {address} port {port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
