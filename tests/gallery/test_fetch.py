"""What is fetched by URL comes from the internet alone, and within limits.

The canary is a server on this machine that must not be reached. Where a test needs a server that may be, it is one on
127.0.0.2, which the setting lets through.
"""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from itertools import count
from types import SimpleNamespace

import psutil
import pytest

from gallery.errors import Code, Refused
from gallery.ingest import fetch as fetching
from gallery.ingest import guard
from gallery.ingest.fetch import fetch, in_turn
from gallery.ingest.guard import is_public
from gallery.uploads import store_upload
from tests.server import BODY, Server, answer, running


@pytest.fixture
def canary():
    """On every address of this machine, by IPv4 and IPv6."""
    try:
        server = Server("::")
    except OSError:  # there is no IPv6 here
        server = Server("0.0.0.0")
    with running(server):
        yield server


@pytest.fixture
def serve(settings):
    """serve(answers): a server that may be fetched from. `answers` is a function of a request, or the one answer."""
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    started = []

    def start(answers, tls=None):
        server = running(Server("127.0.0.2", answers if callable(answers) else lambda request: [answers], tls))
        started.append(server)
        return server.__enter__()

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture
def dialled(monkeypatch):
    """Addresses that connections were tried to."""
    real, tried = socket.create_connection, []

    def create_connection(address, *args, **kwargs):
        tried.append(address[0])
        return real(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return tried


@pytest.fixture
def names(monkeypatch):
    """names["pictures.test"] = iterator of addresses: what a name server answers, time after time."""
    real, known = socket.getaddrinfo, {}

    def getaddrinfo(host, *args, **kwargs):
        return real(next(known[host]) if host in known else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def fetched(url):
    with fetch(url) as file:
        return file.read()


def refused(url):
    """The code and the sentence."""
    with pytest.raises(Refused) as raised:
        fetched(url)
    return raised.value.code, raised.value.detail


# --- whom it reaches -------------------------------------------------------------------------------------------------

HOSTS = [
    # loopback
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "127.0.0.0x1",
    "00000177.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "ip6-localhost",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",  # noqa: RUF001 (full-width digits)
    "%31%32%37.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::1%25lo]",
    # unspecified, which is this machine too
    "0.0.0.0",
    "0",
    "0.0",
    "[::]",
    "[::ffff:0.0.0.0]",
    # private, link-local, metadata services
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "192.168.257",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    # detours
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "192.0.0.1",
    "192.0.0.9",
    "192.88.99.1",
    # to many at once, or to nobody
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "[ff02::1]",
]
URLS = [f"http://{host}:{{port}}/" for host in HOSTS] + [
    "https://127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://user:password@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/",
    "http:\\\\127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "\thttp://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\r\nHost: example.com/",
    "http://127.0.0.1\x00.example.com:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "ws://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "file://127.0.0.1:{port}/etc/passwd",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)",
    "unix:///run/postgresql",
    "",
    "\ud800",
    "http://" + "a" * 64 + ".example:{port}/",
    "http://[::1:{port}/",
    "http://127.0.0.1:{port}x/",
    "http://127.0.0.1:99999999/",
]


@pytest.mark.parametrize("url", URLS)
def test_no_spelling_of_an_address_leads_inside(canary, dialled, url):
    assert refused(url.format(port=canary.port))[0] in {Code.INVALID, Code.FETCH_FAILED}
    assert (canary.connections, dialled) == (0, [])


@pytest.mark.parametrize("url", URLS)
def test_no_redirect_leads_inside(serve, canary, dialled, url):
    target = url.format(port=canary.port)
    if not target.isascii() or not target.isprintable():
        target = "http://127.0.0.1:" + str(canary.port)
    origin = serve(
        lambda request: [
            answer(b"", f"Location: {target}", status="302 Found") if request.startswith("GET /first ") else b""
        ]
    )
    refused(f"http://127.0.0.2:{origin.port}/first")
    assert canary.connections == 0
    assert set(dialled) == {"127.0.0.2"}  # itself, again, where the redirect names no server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127。0。0。1", "[::1]", "0.0.0.0"])
def test_canary_is_reached_by_those_spellings_where_the_setting_lets_them_through(canary, settings, host):
    if ":" in host and canary.address_family == socket.AF_INET:
        pytest.skip("there is no IPv6 here")
    settings.FETCH_ALLOWED_NETWORKS = [ip_network(each) for each in ("127.0.0.0/8", "0.0.0.0/32", "::1/128")]
    assert fetched(f"http://{host}:{canary.port}/") == BODY
    assert canary.connections == 1


def test_setting_lets_through_what_it_names_and_nothing_else(serve, canary):
    allowed = serve(answer())
    assert fetched(f"http://127.0.0.2:{allowed.port}/") == BODY
    refused(f"http://127.0.0.1:{canary.port}/")
    assert canary.connections == 0


def test_name_is_resolved_once_so_that_a_second_answer_leads_nowhere(serve, canary, names):
    origin = serve(answer())
    names["rebinding.test"] = iter(["127.0.0.2", "127.0.0.1"])
    assert fetched(f"http://rebinding.test:{origin.port}/") == BODY
    assert next(names["rebinding.test"]) == "127.0.0.1"
    assert canary.connections == 0


def test_second_answer_is_vetted_when_a_redirect_asks_again(serve, canary, names, dialled):
    names["rebinding.test"] = iter(["127.0.0.2", "127.0.0.1"])
    location = f"Location: http://rebinding.test:{canary.port}/"
    origin = serve(answer(b"", location, status="302 Found"))
    assert "no server on the internet" in refused(f"http://rebinding.test:{origin.port}/")[1]
    assert canary.connections == 0
    assert dialled == ["127.0.0.2"]


def test_rebinding_from_a_public_address_never_reaches_the_canary(canary, names, monkeypatch):
    real, tried = socket.create_connection, []

    def create_connection(address, *args, **kwargs):
        tried.append(address[0])
        if address[0] == "93.184.215.14":
            raise ConnectionRefusedError
        return real(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    names["rebinding.test"] = (address for attempt in count() for address in ("93.184.215.14", "127.0.0.1"))
    url = f"http://rebinding.test:{canary.port}/"
    assert [refused(url)[1] for _ in range(4)] == [
        "rebinding.test cannot be reached.",
        "rebinding.test is no server on the internet, and others are not asked.",
    ] * 2
    assert canary.connections == 0
    assert tried == ["93.184.215.14"] * 2


def test_name_with_a_public_and_an_inner_address_is_refused(canary, monkeypatch, dialled):
    def getaddrinfo(*args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    refused(f"http://both.test:{canary.port}/")
    assert (canary.connections, dialled) == (0, [])


def test_what_is_inside_is_not_told_apart_from_what_is_not_there(names):
    names["inside.test"] = iter(["10.0.0.1"])
    inside, nowhere = refused("http://inside.test/")[1], refused("http://nowhere.invalid/")[1]
    assert inside.replace("inside.test", "") == nowhere.replace("nowhere.invalid", "")


def test_next_address_is_tried_where_one_does_not_answer(serve, settings, monkeypatch):
    origin, real = serve(answer()), socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host != "two.test":
            return real(host, *args, **kwargs)
        return [real(address, *args, **kwargs)[0] for address in ("127.0.0.3", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/31")]
    assert fetched(f"http://two.test:{origin.port}/") == BODY


OWN = {
    "eth0": [
        SimpleNamespace(family=socket.AF_PACKET, address="02:42:ac:11:00:02"),
        SimpleNamespace(family=socket.AF_INET, address="93.184.215.14"),
        SimpleNamespace(family=socket.AF_INET6, address="2606:4700::99%eth0"),
        SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth0"),
    ]
}


@pytest.mark.parametrize("address", ["93.184.215.14", "[2606:4700::99]", "[::ffff:93.184.215.14]"])
def test_public_address_of_this_machine_is_refused(monkeypatch, dialled, address):
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: OWN)
    assert "no server on the internet" in refused(f"http://{address}/")[1]
    assert dialled == []


@pytest.mark.parametrize("address", ["93.184.215.14", "93.184.215.15"])
def test_public_address_of_this_machine_may_be_allowed_and_others_are(monkeypatch, settings, address):
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: OWN)
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("93.184.215.14/32")]
    assert guard._is_allowed(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "::8.8.8.8"])
def test_public_address_is_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize("port", [1, 21, 22, 25, 110, 445, 1023])
def test_ports_of_other_services_are_not_spoken_to(port):
    assert refused(f"http://example.com:{port}/")[1] == f"Port {port} is not one that pictures are fetched from."


@pytest.mark.parametrize("user", ["ann", "ann:secret", ":secret", "example.com:80"])
def test_credentials_in_a_url_are_not_sent(serve, user):
    origin = serve(lambda request: [answer(b"", f"Location: http://{user}@127.0.0.2/", status="302 Found")])
    for url in (f"http://{user}@127.0.0.2:{origin.port}/", f"http://127.0.0.2:{origin.port}/"):
        assert "user name" in refused(url)[1]
    assert len(origin.requests) == 1


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment_are_not_used(serve, canary, monkeypatch, variable):
    monkeypatch.setenv(variable, f"http://127.0.0.1:{canary.port}")
    origin = serve(answer())
    assert fetched(f"http://127.0.0.2:{origin.port}/") == BODY
    assert canary.connections == 0


# --- what it says of us ----------------------------------------------------------------------------------------------


def test_request_says_the_name_and_carries_nothing_of_the_user(serve, names, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login ann password secret")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    names["pictures.test"] = iter(["127.0.0.2"] * 2)

    def answers(request):
        if request.startswith("GET /first"):
            return [answer(b"", "Location: /second?x=1", "Set-Cookie: a=b", status="302 Found")]
        return [answer()]

    origin = serve(answers)
    assert fetched(f"http://pictures.test:{origin.port}/first#fragment") == BODY
    first, second = [request.lower().splitlines() for request in origin.requests]
    assert (first[0], second[0]) == ("get /first http/1.1", "get /second?x=1 http/1.1")
    assert f"host: pictures.test:{origin.port}" in first
    assert {line.partition(":")[0] for line in first[1:] + second[1:] if line} == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
    }


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spool(settings, tmp_path):
    """An empty folder of uploads under way."""
    settings.SPOOL_DIR = settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    return tmp_path


def endless(request):
    yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    while True:
        yield bytes(65536)


def drip(request):
    yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    while True:
        time.sleep(0.02)  # slowly is how it answers; nothing waits for it
        yield b"."


def drip_headers(request):
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        time.sleep(0.02)
        yield b"X-Header: y\r\n"


def test_endless_body_ends_at_the_limit(serve, settings, spool):
    settings.MAX_UPLOAD_BYTES = 1_000_000
    assert refused(f"http://127.0.0.2:{serve(endless).port}/") == (
        Code.TOO_LARGE,
        "The file is too large; at most 1 MB are taken.",
    )
    assert list(spool.iterdir()) == []


def test_body_said_to_be_too_large_is_not_received(serve, settings, spool):
    settings.MAX_UPLOAD_BYTES = 10
    assert refused(f"http://127.0.0.2:{serve(answer(b'', length=11)).port}/")[0] == Code.TOO_LARGE


@pytest.mark.parametrize("slow", [drip, drip_headers])
def test_slow_server_is_left_at_the_deadline(serve, settings, spool, slow):
    settings.FETCH_TIMEOUT_S = 0.5
    began = time.monotonic()
    assert refused(f"http://127.0.0.2:{serve(slow).port}/")[1] == "The server did not send it within 0.5 s."
    assert 0.5 <= time.monotonic() - began < 5
    assert list(spool.iterdir()) == []


def test_server_that_says_nothing_is_left_at_the_deadline(serve, settings):
    settings.FETCH_TIMEOUT_S = 0.3
    gone = threading.Event()
    origin = serve(lambda request: gone.wait(60) and [])
    assert "did not send it within" in refused(f"http://127.0.0.2:{origin.port}/")[1]
    gone.set()


def test_slow_name_server_is_left_at_the_deadline(settings, monkeypatch):
    settings.FETCH_TIMEOUT_S = 0.3
    gone = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: gone.wait(60) and [])
    began = time.monotonic()
    assert "did not send it within" in refused("http://slow.test/")[1]
    assert time.monotonic() - began < 5
    gone.set()


def test_redirects_come_to_an_end(serve):
    origin = serve(answer(b"", "Location: /again", status="301 Moved Permanently"))
    assert refused(f"http://127.0.0.2:{origin.port}/")[1] == "The URL is redirected more than 5 times."
    assert len(origin.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed(serve, status):
    redirect = answer(b"", "Location: there", status=f"{status} Elsewhere")
    origin = serve(lambda request: [answer() if "/a/there" in request else redirect])
    assert fetched(f"http://127.0.0.2:{origin.port}/a/here") == BODY


@pytest.mark.parametrize(
    "said",
    [
        answer(length=len(BODY) + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhello",
        answer(length=-1),
        answer(length="9" * 5000),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        answer(status="404 Not Found"),
        answer(status="599 Own"),
        answer(status="302 Found"),  # without a Location
    ],
)
def test_broken_answer_is_refused(serve, spool, said):
    assert refused(f"http://127.0.0.2:{serve(said).port}/")[0] == Code.FETCH_FAILED
    assert list(spool.iterdir()) == []


def test_more_than_the_length_said_is_not_read(serve):
    assert fetched(f"http://127.0.0.2:{serve(answer(length=4)).port}/") == BODY[:4]


def test_gzip_bomb_is_refused_unopened(serve, spool):
    bomb = answer(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip")
    assert "compressed" in refused(f"http://127.0.0.2:{serve(bomb).port}/")[1]
    assert list(spool.iterdir()) == []


def test_full_disk_is_said(serve, monkeypatch):
    def write(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching.TemporaryUploadedFile, "write", write, raising=False)
    assert refused(f"http://127.0.0.2:{serve(answer()).port}/")[0] == Code.STORAGE_FULL


def test_web_requests_that_fetch_hold_half_of_the_threads_at_most(settings):
    with ExitStack() as held:
        for _ in range(settings.WEB_THREADS // 2):
            held.enter_context(in_turn())
        with pytest.raises(Refused) as raised, in_turn():
            pass
    assert (raised.value.code, raised.value.http_status) == (Code.THROTTLED, 429)
    assert raised.value.headers == {"Retry-After": "5"}
    with pytest.raises(Refused, match="begin with"), in_turn():
        fetch("")
    for _ in range(settings.WEB_THREADS):  # each is given back
        with in_turn():
            pass


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of pictures.test, signed by itself: the certificate with its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "pictures.test.pem"
    arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pictures.test"]
    names = ["-addext", "subjectAltName=DNS:pictures.test"]
    command = ["openssl", *arguments, *names, "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    path.write_text((path.parent / "certificate.pem").read_text() + (path.parent / "key.pem").read_text())
    return path


@pytest.fixture
def tls(certificate, monkeypatch):
    """A server's side. The client trusts that certificate and no other."""
    monkeypatch.setattr(fetching, "_ssl_context", lambda: ssl.create_default_context(cafile=certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_certificate_is_that_of_the_name_and_not_of_the_address(serve, names, tls):
    asked = []
    tls.sni_callback = lambda connection, name, context: asked.append(name)
    names["pictures.test"] = iter(["127.0.0.2"])
    assert fetched(f"https://pictures.test:{serve(answer(), tls).port}/") == BODY
    assert asked == ["pictures.test"]


@pytest.mark.parametrize("host", ["other.test", "127.0.0.2"])
def test_certificate_of_another_name_is_refused(serve, names, tls, host):
    names["other.test"] = iter(["127.0.0.2"])
    origin = serve(answer(), tls)
    assert "certificate" in refused(f"https://{host}:{origin.port}/")[1]
    assert origin.requests == []


def test_certificate_that_nobody_trusts_is_refused(serve, tls, monkeypatch):
    monkeypatch.setattr(fetching, "_ssl_context", ssl.create_default_context)
    assert "self-signed" in refused(f"https://127.0.0.2:{serve(answer(), tls).port}/")[1]


def test_server_without_tls_is_refused(serve):
    assert "No secure connection" in refused(f"https://127.0.0.2:{serve(answer()).port}/")[1]


# --- what comes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "header", "name"),
    [
        ("/a/red%20shoe.jpg?size=1", "", "red shoe.jpg"),
        ("/a/", "", "a"),
        ("/", "", "127.0.0.2"),
        ("/..%2f", "", "127.0.0.2"),
        ("/x", "attachment", "x"),
        ("/x", "inline; filename=shoe.png", "shoe.png"),
        ("/x", 'attachment; filename="red shoe.png"', "red shoe.png"),
        ("/x", "attachment; filename*=UTF-8''sch%C3%B6n.png", "schön.png"),
        ("/x", "attachment; filename=\"plain.png\"; filename*=UTF-8''sch%C3%B6n.png", "schön.png"),
        ("/x", "attachment; filename*=UTF-8''sch%C3%B6n.png; filename=\"plain.png\"", "schön.png"),
        ("/x", 'attachment; filename="../../etc/passwd"', "passwd"),
        ("/x", 'attachment; filename="C:\\\\a\\\\b.png"', "b.png"),
        ("/x", 'attachment; filename=".."', "127.0.0.2"),
        ("/x", "attachment; filename*=UTF-8''a%00b%0A%E2%80%AEc.png", "abc.png"),
        ("/x", "attachment; filename*=nonsense''a.png", "a.png"),
        ("/x", "attachment; filename*=UTF-8", "UTF-8"),
        ("/x", "attachment; filename=", "x"),
        ("/x", "attachment; filename=" + "y" * 5000, "y" * 200),
        ("/x", "attachment; filename*=a; filename*0=b", "x"),
        ("/x", f"attachment; filename*{'1' * 5000}=a", "x"),
        ("/x", "attachment; filename*=idna''a", "x"),
        ("/x", "attachment; filename*=undefined''a", "x"),
    ],
)
def test_file_name_is_what_the_server_says_or_what_the_url_ends_with(serve, path, header, name):
    origin = serve(answer(BODY, *([f"Content-Disposition: {header}"] if header else [])))
    with fetch(f"http://127.0.0.2:{origin.port}{path}") as file:
        assert (file.name, file.size) == (name, len(BODY))


def test_fetched_picture_is_stored_and_its_copy_goes(serve, spool, user, picture):
    data = picture(3).read()
    origin = serve(answer(data))
    with fetch(f"http://127.0.0.2:{origin.port}/shoe.jpg") as file:
        assert len(list(spool.iterdir())) == 1
        stored = store_upload(file, user)
    assert (stored.asset.filename, stored.asset.title, stored.duplicate) == ("shoe.jpg", "shoe", False)
    assert stored.asset.original.read() == data
    assert list(spool.iterdir()) == []
