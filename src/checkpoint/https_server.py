"""Servers for fetch_https_test: HTTPS with right and wrong certificates, HTTP, and a proxy.

usage: https_server.py FOLDER

Serves FOLDER/file under every path, unless PATHS below says otherwise, and writes one line for each request to FOLDER/log:
"SERVER PATH range=... authorization=...". Prints the ports as one line, "https elsewhere http proxy", and ends when its input ends.
"""

import gzip
import http.server
import pathlib
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

FOLDER = pathlib.Path(sys.argv[1])
FILE = (FOLDER / "file").read_bytes()
LOG = threading.Lock()


def log(text):
    with LOG, open(FOLDER / "log", "a") as out:
        out.write(text + "\n")


def make_certificate(name, hosts):
    """Writes NAME.key and NAME.pem, a certificate that signs itself, for these hosts."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=" + name, "-addext", "subjectAltName=" + hosts]
        + ["-keyout", FOLDER / (name + ".key"), "-out", FOLDER / (name + ".pem")],
        check=True,
        stderr=subprocess.DEVNULL,
    )


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        log(f"{self.server.name} {path} range={self.headers['Range']} authorization={self.headers['Authorization']}")
        self.close_connection = True
        # A name may end in a hash, as in "/cut-0676ba61.pth".
        PATHS.get(re.sub("-[0-9a-f]{8}[.]pth$", ".pth", path), Handler.whole)(self)

    def begin(self, status, length, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def first(self):
        """Returns the first byte of the file that is asked for."""
        asked = self.headers["Range"]
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0

    def whole(self):
        body = FILE[self.first() :]
        if self.first() == 0:
            return self.send(200, body)
        return self.send(206, body, Content_Range=f"bytes {self.first()}-{len(FILE) - 1}/{len(FILE)}")

    def send(self, status, body, **headers):
        self.begin(status, len(body), ETag='"1"', **headers)
        self.wfile.write(body)

    def parts(self):
        """Sends at most 60,000 bytes at once to a request that names a range, and cuts the first one there."""
        first, last = self.first(), min(self.first() + 60000, len(FILE))
        if first == 0:
            self.begin(200, len(FILE), ETag='"1"')
            self.wfile.write(FILE[:last])
        else:
            self.send(206, FILE[first:last], Content_Range=f"bytes {first}-{last - 1}/{len(FILE)}")

    def cut_without_length(self):
        """Ends the body early without having said its length. Libcurl does not tell this from the file's end."""
        self.begin(200, None)
        self.wfile.write(FILE[: len(FILE) // 2])

    def too_long(self):
        self.begin(200, len(FILE) + 10, Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT")
        self.wfile.write(FILE)

    def drip(self):
        self.begin(200, len(FILE), ETag='"1"')
        while True:  # until the client closes the connection
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.02)

    def zipped(self):
        body = gzip.compress(FILE)
        self.begin(200, len(body), ETag='"1"', Content_Encoding="gzip")
        self.wfile.write(body)

    def zipped_and_cut(self):
        body = gzip.compress(FILE)
        self.begin(200, len(body), ETag='"1"', Content_Encoding="gzip")
        cut = not (FOLDER / "cut").exists()
        (FOLDER / "cut").touch()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def not_zipped(self):
        self.begin(200, len(FILE), ETag='"1"', Content_Encoding="gzip")
        self.wfile.write(FILE)

    def to(self, location):
        self.begin(302, 0, Location=location)


class Proxy(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        authorization = self.headers["Proxy-Authorization"]
        log(f"proxy {self.path} authorization={authorization}")
        if authorization is None:
            self.send_error(407)
            return
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            pair = [self.connection, there]
            while True:
                for ready in select.select(pair, [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    pair[ready is self.connection].sendall(data)


def serve(name, handler, certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.name = name
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that closes the connection is a part of the tests
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER / (certificate + ".pem"), FOLDER / (certificate + ".key"))
        # The handshake is left to the connection's thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


make_certificate("here", "IP:127.0.0.1,DNS:localhost")
make_certificate("elsewhere", "DNS:elsewhere.test")
https = serve("https", Handler, "here")
elsewhere = serve("elsewhere", Handler, "elsewhere")
plain = serve("http", Handler)
PATHS = {
    "/parts.pth": Handler.parts,
    "/cut.pth": Handler.cut_without_length,
    "/too-long.pth": Handler.too_long,
    "/drip.pth": Handler.drip,
    "/zipped.pth": Handler.zipped,
    "/zipped-and-cut.pth": Handler.zipped_and_cut,
    "/not-zipped.pth": Handler.not_zipped,
    "/to-https.pth": lambda self: self.to(f"https://localhost:{https}/there.pth"),
    "/to-http.pth": lambda self: self.to(f"http://127.0.0.1:{plain}/there.pth"),
    "/to-ftp.pth": lambda self: self.to("ftp://127.0.0.1/there.pth"),
    "/to-file.pth": lambda self: self.to("file://" + str(FOLDER / "file")),
    "/round.pth": lambda self: self.to("/round.pth"),
}
print(https, elsewhere, plain, serve("proxy", Proxy), flush=True)
sys.stdin.read()
