"""A web site of hundreds of pages, with the traps that crawlers fall into."""

import threading
import time
import zlib
from collections import Counter
from itertools import count

from tests.conftest import drawn, encoded
from tests.gallery.test_fetch import Server, answer

ALBUMS, PAGES_OF_ALBUM = 12, 20
#: Wide enough not to be taken for icons.
SIZE = (160, 120)
ROBOTS = b"User-agent: *\nDisallow: /private/\n\nUser-agent: OtherBot\nDisallow: /\n"


def redirect(target, status="302 Found"):
    return answer(b"", f"Location: {target}", status=status)


def html(*body, head=""):
    text = f"<!doctype html><html><head><title>A page</title>{head}</head><body>{''.join(body)}</body></html>"
    return answer(text.encode(), "Content-Type: text/html; charset=utf-8")


def links(*targets):
    return "".join(f'<a href="{target}">{target}</a> ' for target in targets)


def jpeg(seed, size=SIZE):
    return answer(encoded(drawn(seed, size)), "Content-Type: image/jpeg")


def endless(content_type):
    yield f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode()
    while True:
        yield b"<a>" * 20_000


def drip():
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    while True:
        time.sleep(0.02)  # slowly is how it answers; nothing waits for it
        yield b"<p>"


class Site(Server):
    """Counts what it is asked for. `pages` are answered first; a value is an answer, or a function of the path."""

    def __init__(self, address="127.0.0.2", pages=None):
        self.pages, self.asked = {} if pages is None else pages, Counter()
        self.user_agents = set()
        self.on_request = lambda path: None
        self._counting = threading.Lock()
        super().__init__(address, self._answers)
        self.address = f"http://{address}:{self.port}"

    def _answers(self, request):
        path = request.split()[1]
        with self._counting:
            self.asked[path] += 1
            self.user_agents |= {line for line in request.splitlines() if line.lower().startswith("user-agent")}
        self.on_request(path)
        found = self.pages.get(path) or self.pages.get(path.partition("?")[0]) or self._trap(path)
        found = found(path) if callable(found) else found
        return [found] if isinstance(found, bytes) else found

    def _trap(self, path):
        return answer(b"nothing here", "Content-Type: text/html", status="404 Not Found")

    def page_paths(self):
        """Of pages, without robots.txt and pictures."""
        return Counter({path: n for path, n in self.asked.items() if "." not in path.rpartition("/")[2]})


class TrappedSite(Site):
    """Albums of pages, each with a picture of its album's and one that all share; and what is listed in `_trap`."""

    __test__ = False

    def __init__(self, canary_port):
        self.canary_port = canary_port
        self._sessions = count()
        super().__init__()

    def _trap(self, path):  # noqa: C901, PLR0911, PLR0912 (a list)
        parts = path.strip("/").partition("?")[0].partition(";")[0].split("/")
        match parts:
            case [""]:
                return self._front()
            case ["robots.txt"]:
                return answer(ROBOTS, "Content-Type: text/plain")
            case ["album", album]:
                pages = (
                    f"/album/{album}/{page};jsessionid={next(self._sessions)}#top" for page in range(PAGES_OF_ALBUM)
                )
                return html(links("/", *pages))
            case ["album", album, page]:
                shown = f'<img src="/pictures/{album}.jpg?PHPSESSID={next(self._sessions)}" alt="Album {album}">'
                logo = '<img src="/pictures/shared.jpg#x" alt="On every page">'
                return html(shown, logo, links(f"/album/{album}", f"{(int(page) + 1) % PAGES_OF_ALBUM}", "../../"))
            case ["pictures", name]:
                return self._picture(name)
            case ["calendar", year, month]:
                year, month = (int(year), int(month) + 1) if int(month) < 12 else (int(year) + 1, 1)
                return html(links(f"/calendar/{year}/{month}", f"/calendar/{year + 1}/{month}"))
            case ["cycle", which]:
                return html(links("/cycle/b" if which == "a" else "/cycle/a", ""))
            case ["loop", which]:
                return redirect("/loop/b" if which == "a" else "/loop/a")
            case ["self-redirect"]:
                return redirect("/self-redirect")
            case ["moved"]:
                return redirect("/moved-here", "301 Moved Permanently")
            case ["moved-here"]:
                return html('<img src="pictures/moved.jpg" alt="After a redirect">')
            case ["away"]:
                return redirect(f"http://127.0.0.1:{self.canary_port}/away")
            case ["ssh"]:
                return redirect("http://127.0.0.2:22/")
            case ["signed-in"]:
                return redirect(f"http://ann:secret@127.0.0.2:{self.port}/")
            case ["slow"]:
                return drip()
            case ["endless"]:
                return endless("text/html")
            case ["error"]:
                return answer(b"", status="500 Internal Server Error")
            case ["private", _]:
                return html('<img src="/pictures/secret.jpg" alt="Secret">')
            case ["not-html"]:
                return answer(b"%PDF-1.4", "Content-Type: application/pdf")
            case ["bad-html"]:
                return answer(
                    b"<a href='http://[x'>\xff\xfe<img src='http://[::1'><a href=///>\x00", "Content-Type: text/html"
                )
            case ["markup"]:
                return self._markup()
        return super()._trap(path)

    def _front(self):
        albums = [f"/album/{album}" for album in range(ALBUMS)]
        port, canary = self.port, self.canary_port
        traps = ["/calendar/2026/1", "/cycle/a", "/loop/a", "/self-redirect", "/moved", "/away", "/slow", "/endless"]
        traps += ["/ssh", "/signed-in"]
        others = ["/gone", "/error", "/private/page", "/not-html", "/bad-html", "/markup"]
        outside = [
            f"http://127.0.0.2.evil.invalid:{port}/evil",
            f"http://127.0.0.2:{canary}/other-port",
            f"http://127.0.0.1:{canary}/inside",
            f"http://127.0.0.2@127.0.0.1:{canary}/user",
            f"http://127.0.0.1:{canary}\\@127.0.0.2:{port}/backslash",
            "mailto:ann@example.org",
            "javascript:void(0)",
            "ftp://127.0.0.2/file",
        ]
        return html(links(*albums, *traps, *others, *outside))

    def _markup(self):
        return html(
            '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-src="/pictures/lazy.jpg" alt="  Lazy \n one ">',
            '<img src="/pictures/set-0.jpg" srcset="/pictures/set-1.jpg 320w, /pictures/set-2.jpg 999w" alt="Set">',
            '<img src="/pictures/x-1.jpg" srcset="/pictures/x-2.jpg 2x, /pictures/x-1.jpg" title="By its title">',
            '<picture><source srcset="/pictures/wide.jpg 999w"><img src="/pictures/thin.jpg" alt="Picture"></picture>',
            '<figure><img src="/pictures/figure.jpg"><figcaption>By its <b>caption</b></figcaption></figure>',
            '<img data-original="/pictures/original.jpg" data-lazy-src="/pictures/no.jpg" alt="Original">',
            '<img data-srcset="/pictures/lazy-set.jpg 900w" src="/pictures/placeholder.gif" alt="Lazy set">',
            '<a href="/pictures/linked.jpg"><img src="/pictures/thumb.jpg" width="60" height="40" alt="Linked"></a>',
            '<img src="/pictures/icon.jpg" alt="Icon by its pixels">',
            '<img src="/pictures/spacer.jpg" width="1px" height="1" alt="Spacer">',
            '<img src="/pictures/gone.jpg" alt="Gone"><img src="/pictures/garbage.jpg" alt="Garbage">',
            '<img src="/pictures/page.jpg" alt="A page"><img src="/pictures/text.jpg" alt="Of another type">',
            '<img src="/pictures/endless.jpg" alt="Endless"><img src="/pictures/away.jpg" alt="Away">',
            f'<img src="http://127.0.0.1:{self.canary_port}/canary.jpg" alt="Elsewhere">',
            '<img src="/private/picture.jpg" alt="Private"><img src=""><img alt="Nothing">',
            '<img src="/pictures/ssh.jpg" alt="SSH"><img src="/pictures/signed-in.jpg" alt="Signed in">',
            '<img src="/pictures/copy.jpg" alt="Album 0">',
            head='<meta property="og:image" content="/pictures/og.jpg"><meta name="og:title" content="By og:title">',
        )

    def _picture(self, name):
        stem = name.partition(".")[0]
        special = {
            "icon": jpeg(900, (32, 32)),
            "gone": super()._trap(name),
            "garbage": answer(b"\xff\xd8\xff" + bytes(500), "Content-Type: image/jpeg"),
            "page": html("<p>No picture"),
            "text": answer(encoded(drawn(901, SIZE)), "Content-Type: text/plain"),
            "away": redirect(f"http://127.0.0.1:{self.canary_port}/away.jpg"),
            "ssh": redirect("http://127.0.0.2:22/a.jpg"),
            "signed-in": redirect(f"http://ann:secret@127.0.0.2:{self.port}/a.jpg"),
            "copy": jpeg(0),
        }
        if stem == "endless":
            return endless("image/jpeg")
        # seeds: the album's number, or one made of the name
        return special.get(stem) or jpeg(int(stem) if stem.isdecimal() else zlib.crc32(stem.encode()))
