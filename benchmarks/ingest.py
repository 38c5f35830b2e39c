"""How fast pictures come in: uploads by HTTP beside 40 a second, and an import beside bare decoding.

    .venv/bin/python benchmarks/ingest.py [uploads] [folder] [memory] [--photos DIR] [--rounds N] [--json FILE]

  uploads  600 JPEGs of 500 px a round through the API by 4 clients, while the workers embed them. The product runs as a
           user starts it, with the built-in encoder. Beside the rate: processor time of an upload by kind of process,
           which says more than the rate where the machine has other work.
  folder   what `import_folder` does, with JPEGs of 4000 x 3000 pixels and without workers beside it, in turns with bare
           decoding by as many threads as there are decoders: Pillow with `draft` to the preview's size.
  memory   2 GB of originals, each of 60 MB, in forms and by tus: what the web process holds at most.

Without any of these names: uploads and folder. Pictures are drawn, as hard to decode as photographs, and each is
another; --photos names JPEGs to upload instead.
"""

import argparse
import base64
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ.pop("DATABASE_URL", None)

import numpy as np
import psutil
import requests
from PIL import Image
from urllib3 import HTTPConnectionPool, encode_multipart_formdata

from tests.product import PASSWORD, Client, Product, wait_for

CLIENTS, UPLOADS, WARM_UP = 4, 600, 60
SMALL, LARGE = (500, 375), (4000, 3000)
#: Files of an import; different pictures among them, of which copies differ by a comment; workers for each way.
FILES, DRAWN = 32, 8
#: A bitmap of 24 bits a pixel, 60 MB, and how many are 2 GB.
BITMAP, BITMAPS = (5000, 4000), 34
_PIECE_BYTES = 8_000_000
#: Kinds of process that go on with uploads when these have been answered.
_BEHIND = {"workers", "Postgres"}
#: What is asked for: uploads a second, import beside bare decoding, MB that the web process may grow by.
_RATE, _OF_DECODING, _GROWTH_MB = 40, 0.6, 300


def main() -> None:
    ways = {"uploads": uploads, "folder": folder, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="uploads | folder | memory", default=["uploads", "folder"])
    parser.add_argument("--photos", type=Path, help="folder of JPEGs to upload; default: pictures drawn for this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := set(options.ways) - set(ways):
        parser.error(f"no such measurement: {', '.join(unknown)}")
    report = {}
    for name in options.ways:
        place = Path(tempfile.mkdtemp(prefix="assetsearch-benchmark-"))
        try:
            report[name] = ways[name](place, options)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


# --- pictures ---------------------------------------------------------------------------------------------------


def photograph(seed: int, size: tuple[int, int]) -> Image.Image:
    """Coarse colours, finer structure and grain: at quality 90 some 0.35 bytes a pixel, as photographs have."""
    random, (width, height) = np.random.default_rng(seed), size
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    finer = Image.fromarray(random.normal(0, 12, (height // 4, width // 4)).astype(np.float32))
    drawn = np.asarray(coarse, np.float32) + np.asarray(finer.resize(size, Image.Resampling.BICUBIC))[..., None]
    drawn += random.normal(0, 6, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(drawn, 0, 255).astype(np.uint8))


def small_jpegs(place: Path, photos: Path | None, count: int) -> list[bytes]:
    if photos:
        found = sorted(photos.rglob("*.jpg"))
        if len(found) < count:
            sys.exit(f"{photos} holds {len(found)} JPEGs; {count} are needed. Ask for fewer --rounds.")
        return [path.read_bytes() for path in found[:: len(found) // count][:count]]
    path, made = place / "drawn.jpg", []
    for seed in range(count):
        photograph(seed, SMALL).save(path, quality=85)
        made.append(path.read_bytes())
    return made


# --- uploads ----------------------------------------------------------------------------------------------------


def uploads(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    photos = small_jpegs(place, options.photos, WARM_UP + options.rounds * UPLOADS)
    with running(place) as (product, token):
        asking = Client(product.url, token)
        left = (_upload(photo, token) for photo in photos)
        client = HTTPConnectionPool("127.0.0.1", product.port, maxsize=CLIENTS)
        _send(client, itertools.islice(left, WARM_UP))
        batches = (list(itertools.islice(left, UPLOADS)) for _ in range(options.rounds))
        rounds = [_one_round(product, asking, client, batch) for batch in batches]
    rate = statistics.median(rate for rate, _ in rounds)
    spent = {kind: statistics.median(each[kind] for _, each in rounds) for kind in rounds[0][1]}
    print(
        f"uploads: {rate:.1f} a second (asked for: >= {_RATE}); each round: {', '.join(f'{r:.1f}' for r, _ in rounds)}"
    )
    print(f"  processor time of one, ms: {sum(spent.values()):.1f}")
    for kind, ms in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"    {kind:12} {ms:6.1f}")
    return {"uploads_per_s": rate, "asked": _RATE, "cpu_ms": spent, "rounds": [rate for rate, _ in rounds]}


@contextmanager
def running(place: Path) -> Iterator[tuple[Product, str]]:
    """The product, and a token to speak to it."""
    product = Product(place / "var", API_RATE_USER="1000000/min")
    product.start()
    try:
        known = {"username": "admin", "password": PASSWORD}
        yield product, requests.post(f"{product.url}/api/v1/token/", known, timeout=60).json()["token"]
    finally:
        product.stop()


def _one_round(
    product: Product, asking: Client, client: HTTPConnectionPool, batch: Sequence[dict[str, Any]]
) -> tuple[float, dict[str, float]]:
    """Uploads a second, and milliseconds of processor time of one by kind of process."""
    wait_for(asking.is_settled, seconds=300, what="the embedding of those before")
    before, started = processor_seconds(product), time.perf_counter()
    _send(client, iter(batch))
    seconds, sent = time.perf_counter() - started, processor_seconds(product)
    wait_for(asking.is_settled, seconds=300, what="the embedding of all")
    settled = processor_seconds(product)
    # the web server's while it took them in, as it is asked thereafter; the workers' until they are through
    spent = {kind: (settled if kind in _BEHIND else sent)[kind] - before[kind] for kind in before}
    return len(batch) / seconds, {kind: 1000 * total / len(batch) for kind, total in spent.items()}


def _upload(photo: bytes, token: str) -> dict[str, Any]:
    body, content_type = encode_multipart_formdata({"file": ("photograph.jpg", photo)})
    return {"body": body, "headers": {"Content-Type": content_type, "Authorization": f"Token {token}"}}


def _send(client: HTTPConnectionPool, batch: Iterator[dict[str, Any]]) -> None:
    def send(request: dict[str, Any]) -> None:
        answer = client.request("POST", "/api/v1/assets/", **request)
        assert answer.status == 201, (answer.status, answer.data)  # noqa: PLR2004

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(send, batch))


def processor_seconds(product: Product) -> Counter[str]:
    """By kind of process, of all that the product consists of and of this one; those that ended count too."""
    spent: Counter[str] = Counter()
    assert product.process is not None
    postmaster = int((product.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    for root in (psutil.Process(product.process.pid), psutil.Process(postmaster)):
        for process in [root, *root.children(recursive=True)]:
            try:
                spent[_kind(process)] += sum(process.cpu_times()[:4])  # user, system, and both of ended children
            except psutil.NoSuchProcess:
                continue
    spent["clients"] += sum(psutil.Process().cpu_times()[:2])
    return spent


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    named = {"forkserver": "decoders", "gunicorn": "web", "qcluster": "workers", "postgres": "Postgres"}
    return next((kind for word, kind in named.items() if word in command), "supervisor")


# --- import of a folder -----------------------------------------------------------------------------------------


def folder(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    import django

    os.environ["DATA_DIR"] = str(place / "var")
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from assetsearch import postgres

    call_command("migrate", verbosity=0)
    owner = User.objects.create_superuser("benchmark")
    batches = _large_jpegs(place, options.rounds + 1)
    with ThreadPoolExecutor(settings.DECODE_PROCESSES) as threads:
        ways = {"bare": partial(_decode_all, threads), "import": partial(_import_all, owner)}
        for work in ways.values():
            work(batches[0])  # until their processes are there
        took = [{way: _timed(partial(work, batch)) for way, work in ways.items()} for batch in batches[1:]]
    postgres.release(settings.DATA_DIR)
    rates = {way: FILES / statistics.median(seconds[way] for seconds in took) for way in ways}
    ratio = statistics.median(seconds["bare"] / seconds["import"] for seconds in took)
    print(f"folder: {rates['import']:.1f} images/s, bare decoding {rates['bare']:.1f}")
    print(f"  import / bare decoding {ratio:.2f} (asked for: >= {_OF_DECODING})")
    return {"images_per_s": rates, "of_bare_decoding": ratio, "asked": _OF_DECODING, "rounds": took}


def _large_jpegs(place: Path, batches: int) -> list[list[Path]]:
    kept, made = place / "large.jpg", []
    drawn = []
    for seed in range(DRAWN):
        photograph(seed, LARGE).save(kept, quality=90)
        drawn.append(kept.read_bytes())
    for number in range(batches):
        (place / f"{number}").mkdir()
        made.append([_copy(place / f"{number}", at, drawn[at % DRAWN]) for at in range(FILES)])
    return made


def _copy(folder: Path, number: int, jpeg: bytes) -> Path:
    """With a comment after the first marker, which makes it another file."""
    path, told = folder / f"{number:02}.jpg", f"{folder.name}-{number:02}".encode()
    path.write_bytes(jpeg[:2] + b"\xff\xfe" + (len(told) + 2).to_bytes(2, "big") + told + jpeg[2:])
    return path


def _decode_all(threads: ThreadPoolExecutor, paths: Sequence[Path]) -> None:
    """Pillow lets go of the interpreter while it decodes, so that threads do as well as processes."""
    from gallery.images import PREVIEW_LONG_EDGE_PX

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            scale = PREVIEW_LONG_EDGE_PX / max(image.size)
            image.draft(None, (int(image.width * scale), int(image.height * scale)))
            image.load()

    list(threads.map(decode, paths))


def _import_all(owner: Any, paths: Sequence[Path]) -> None:
    from gallery.ingest.folder import import_files
    from gallery.uploads import Details

    assert all(outcome.stored for outcome in import_files(paths, owner, Details()))


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# --- memory -----------------------------------------------------------------------------------------------------


def memory(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    report: dict[str, Any] = {"asked_mb": _GROWTH_MB}
    original = place / "large.bmp"
    Image.effect_noise(BITMAP, 60).convert("RGB").save(original)
    with running(place) as (product, token):
        for name, send in {"in forms": _in_a_form, "by tus": _by_tus}.items():
            peak = _Peak(_web(product))
            with peak, ThreadPoolExecutor(CLIENTS) as clients:
                list(clients.map(partial(send, product, token, original), range(BITMAPS)))
            sent_mb = BITMAPS * original.stat().st_size / 1e6
            print(f"memory: {sent_mb:,.0f} MB {name}, web process {peak.before:.0f} MB before, {peak.most:.0f} at most")
            report[name] = {"sent_mb": sent_mb, "before_mb": peak.before, "most_mb": peak.most}
    return report


class _Peak:
    """The most memory that a process holds meanwhile, in MB, as looked at every 20 ms."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._ended = process, threading.Event()
        self.before = self.most = process.memory_info().rss / 1e6
        self._watcher = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._watcher.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss / 1e6)


def _web(product: Product) -> psutil.Process:
    """The web server's one process that answers requests, a child of the one that watches over it."""
    serving = [process for process in product.processes() if _kind(process) == "web"]
    return next(process for process in serving if process.ppid() in {one.pid for one in serving})


def _in_a_form(product: Product, token: str, original: Path, number: int) -> None:
    request = _upload(_numbered(original, number), token)
    answer = requests.post(f"{product.url}/api/v1/assets/", request["body"], headers=request["headers"], timeout=300)
    assert answer.status_code == 201, answer.text  # noqa: PLR2004


def _by_tus(product: Product, token: str, original: Path, number: int) -> None:
    data, session = _numbered(original, BITMAPS + number), requests.Session()
    session.headers.update({"Tus-Resumable": "1.0.0", "Authorization": f"Token {token}"})
    named = f"filename {base64.b64encode(b'large.bmp').decode()}"
    begun = session.post(
        f"{product.url}/upload/files/", headers={"Upload-Length": str(len(data)), "Upload-Metadata": named}, timeout=60
    )
    address = f"{product.url}{begun.headers['Location']}"
    for offset in range(0, len(data), _PIECE_BYTES):
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        answer = session.patch(address, data[offset : offset + _PIECE_BYTES], headers=headers, timeout=300)
        assert answer.status_code == 204, answer.text  # noqa: PLR2004


def _numbered(bitmap: Path, number: int) -> bytes:
    """With another last pixel."""
    return bitmap.read_bytes()[:-2] + number.to_bytes(2, "big")


if __name__ == "__main__":
    main()
