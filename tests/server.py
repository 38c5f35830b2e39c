"""A web server on this machine that answers what a test wants, byte for byte."""

import socket
import socketserver
import threading
from contextlib import contextmanager

#: Of answers that nobody looks at more closely.
BODY = b"what a picture would be"


def answer(body=BODY, *headers, status="200 OK", length=None):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Server(socketserver.ThreadingTCPServer):
    """Answers each connection with what `answers(request)` yields, and keeps the requests."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 50

    def __init__(self, address, answers=lambda request: [answer()], tls=None):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.answers, self.tls, self.connections, self.requests = answers, tls, 0, []
        super().__init__((address, 0), None)
        self.port = self.server_address[1]

    def finish_request(self, request, client_address):
        self.connections += 1
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        received = b""
        while not received.startswith(b"\x16") and b"\r\n\r\n" not in received and (more := request.recv(65536)):
            received += more  # what begins with 22 is TLS, spoken to a server that does not
        self.requests.append(received.decode("latin-1"))
        for part in self.answers(self.requests[-1]):
            request.sendall(part)

    def handle_error(self, request, client_address):
        """The client went away, as it should."""


@contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
