"""How fast pictures become vectors: as tutorials have it, by the encoder alone, and by the whole pipeline.

    .venv/bin/python benchmarks/embed.py [--photos DIR] [--device cpu|cuda] [--encoder NAME] [--json FILE] [--memory N]

For each encoder, in one run, several rounds of each in turn (the medians count):
  one-at-a-time  a JPEG file opened, prepared and encoded after the other, float32, no batches: the tutorials' way
  forward        `encode` on full batches that are ready: the limit
  pipeline       claim, read, decode, prepare, encode, store; rows a second, as committed
  query          one picture that is ready: milliseconds, p50 and p95
DINOv2 and ResNet-50 run at their full size with random weights: that shows speed and memory, and nothing of quality.
Peak memory is that of this process in each phase, with the model in it; decoding processes are beside. --memory embeds
so many assets (of the same files, again and again) and tells how memory grows with them.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ.pop("DATABASE_URL", None)

#: Pictures a round, and rounds: some ten seconds a round on two cores.
COUNTS = {"descriptor": 600, "dinov2-base": 32, "resnet50": 96}
ROUNDS, QUERIES = 3, 30
#: What is asked for: of the limit and of the tutorials' way; MB a thousand pictures.
_OF_LIMIT, _OF_TUTORIALS, _SLOPE_MB = {"cpu": 0.85, "cuda": 0.7}, 4, 1
#: Pictures a second that a tutorial claims for ResNet-50 on a V100.
_CLAIMED = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of photographs; default: pictures drawn for this")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoder", action="append", choices=COUNTS, help="default: each of them")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: what the product would choose")
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="also embed so many, by the first encoder")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="assetsearch-benchmark-")
    os.environ["DATA_DIR"] = folder
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    try:
        results = run(options)
    finally:
        _stop_postgres(Path(folder))
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"device": options.device, "results": results}, indent=1))


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    import django

    django.setup()
    from django.core.management import call_command

    _check_device(options.device)
    call_command("migrate", verbosity=0)
    names = options.encoder or list(COUNTS)
    count = max(COUNTS[name] for name in names)
    _store(options.photos or _drawn(count), count)
    results = []
    for name in names:
        results += measure(name, options.device, options.dtype)
    if options.memory:
        results.append(memory(names[0], options.memory))
    return results


def _check_device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device here.")


def measure(name: str, device: str, dtype: str | None) -> list[dict[str, Any]]:
    import numpy as np

    from gallery.models import Asset
    from search import encoders, pipeline
    from search.models import Embedding, Encoder

    encoder = _loaded(name, dtype)
    plain = encoder if encoder.dtype == "float32" else _random(encoders.spec(name), dtype="float32")
    count = COUNTS[name]
    row = Encoder.objects.for_spec(encoders.spec(name))
    row.activate()
    everything = list(Asset.objects.order_by("pk").values_list("pk", flat=True))
    wanted, others = everything[:count], everything[count:]
    originals = [Path(asset.original.path) for asset in Asset.objects.filter(pk__in=wanted)]
    prepared = [_prepared(path, encoder) for path in originals]
    batches = [np.stack(prepared[at : at + encoder.batch_size]) for at in range(0, count, encoder.batch_size)]

    def one_at_a_time() -> None:
        for path in originals:
            plain.encode(_prepared(path, plain)[None])

    def forward() -> None:
        for batch in batches:
            encoder.encode(batch)

    def whole_pipeline() -> None:
        tally = pipeline.embed_pending(row)
        assert (tally.ready, tally.failed) == (count, 0), tally

    def forget() -> None:
        Embedding.objects.filter(encoder=row).delete()
        pipeline.claim(others, row)  # so that as many are pending as the other measurements take

    ways = {"one-at-a-time": one_at_a_time, "forward": forward, "pipeline": whole_pipeline}
    seconds: dict[str, list[float]] = {what: [] for what in ways}
    peaks: dict[str, list[float]] = {what: [] for what in [*ways, "query"]}
    for _ in range(ROUNDS):
        for what, work in ways.items():
            forget()
            with _peak_noted(peaks[what]):
                seconds[what].append(_timed(work))
    with _peak_noted(peaks["query"]):
        took = [_timed(partial(encoder.encode, prepared[at % count][None])) * 1000 for at in range(QUERIES)]
    rates = {what: count / statistics.median(times) for what, times in seconds.items()}
    highest = {what: max(noted) for what, noted in peaks.items()}
    return _report(name, encoder.dtype, device, rates, np.percentile(took, [50, 95]).tolist(), peaks=highest)


@contextmanager
def _peak_noted(peaks: list[float]) -> Iterator[None]:
    """The most memory that this process held meanwhile, in MB, as looked at every 10 ms."""
    import psutil

    process, ended, highest = psutil.Process(), threading.Event(), [0]

    def look() -> None:
        while not ended.wait(0.01):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        peaks.append(highest[0] / 1e6)


def _loaded(name: str, dtype: str | None) -> Any:
    from search import encoders
    from search.encoders import registry

    if name != "descriptor":
        _with_random_weights(name, dtype)
        registry.forget()
    return encoders.load(name)


def _prepared(path: Path, encoder: Any) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return encoder.prepare(image.convert("RGB"))


def _report(
    name: str, dtype: str, device: str, rates: dict[str, float], query_ms: Sequence[float], *, peaks: dict[str, float]
) -> list[dict[str, Any]]:
    print(f"{name} ({device}, {dtype})")
    for what, rate in rates.items():
        print(f"  {what:14} {rate:7.1f} images/s, peak {peaks[what]:.0f} MB")
    print(f"  {'query':14} p50 {query_ms[0]:.1f} ms, p95 {query_ms[1]:.1f} ms, peak {peaks['query']:.0f} MB")
    of_limit, of_tutorials = (rates["pipeline"] / rates[what] for what in ("forward", "one-at-a-time"))
    print(f"  pipeline / forward {of_limit:.2f} (asked for: >= {_OF_LIMIT[device]})")
    print(f"  pipeline / one-at-a-time {of_tutorials:.2f} (asked for: >= {_OF_TUTORIALS})")
    if name == "resnet50":
        print(f"  a tutorial claims {_CLAIMED} images/s for ResNet-50 on a V100")
    told = {"encoder": name, "dtype": dtype}
    query = {"images_per_s": 1000 / query_ms[0], "p50_ms": query_ms[0], "p95_ms": query_ms[1]}
    return [
        *({"name": what, "images_per_s": rate, "peak_mb": peaks[what], **told} for what, rate in rates.items()),
        {"name": "query", **query, "peak_mb": peaks["query"], **told},
    ]


def memory(name: str, count: int) -> dict[str, Any]:
    """MB that memory grows by with each thousand pictures, after the first tenth of them."""
    import numpy as np
    import psutil

    from search import encoders, pipeline
    from search.models import Embedding, Encoder

    _loaded(name, None)
    row = Encoder.objects.for_spec(encoders.spec(name))
    Embedding.objects.filter(encoder=row).delete()
    _copies(count)
    held: list[tuple[int, float]] = []

    def note(tally: Any) -> None:
        held.append((tally.total, psutil.Process().memory_info().rss / 1e6))

    pipeline.embed_pending(row, progress=note)
    settled = [point for point in held if point[0] > count / 10]
    slope, _ = np.polyfit([done / 1000 for done, _ in settled], [mb for _, mb in settled], 1)
    peak_mb = max(mb for _, mb in held)
    print(f"{name}: {held[-1][0]:,} pictures, peak {peak_mb:.0f} MB, {slope:+.2f} MB a thousand (asked: < {_SLOPE_MB})")
    return {"name": "memory", "encoder": name, "pictures": held[-1][0], "peak_mb": peak_mb, "mb_a_thousand": slope}


def _copies(count: int) -> None:
    """Assets of files that there are, until there are so many."""
    from itertools import cycle

    from gallery.models import Asset

    there = list(Asset.objects.all())
    missing = zip(range(count - len(there)), cycle(there), strict=False)
    copies = (
        Asset(owner_id=one.owner_id, title=one.title, filename=one.filename, original=one.original, preview=one.preview,
              thumbnail=one.thumbnail, sha256=f"{number:064x}", format=one.format, width=one.width, height=one.height,
              size_bytes=one.size_bytes)
        for number, one in missing
    )  # fmt: skip
    Asset.objects.bulk_create(copies, batch_size=1000)


def _drawn(count: int) -> Path:
    """A folder of JPEG files that are about as hard to decode as photographs of 640 x 480 pixels."""
    import numpy as np
    from django.conf import settings
    from PIL import Image

    folder = settings.DATA_DIR / "drawn"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize(
            (640, 480), Image.Resampling.BICUBIC
        )
        grain = random.normal(0, 6, (480, 640, 1))
        drawn = np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(drawn).save(folder / f"{number:04}.jpg", quality=85)
    return folder


def _store(photos: Path, count: int) -> None:
    from django.contrib.auth.models import User

    from gallery.ingest.folder import import_files, pictures
    from gallery.uploads import Details

    found = pictures(photos)
    step = max(1, len(found) // count)
    owner = User.objects.create_superuser("benchmark")
    for _ in import_files(found[::step][:count], owner, Details()):
        pass


def _with_random_weights(name: str, dtype: str | None) -> None:
    """Let the registry build the encoder's model from its configuration instead of fetching weights."""
    from dataclasses import replace

    from search import encoders

    encoders.SPECS[name] = replace(encoders.spec(name), load=partial(_random, dtype=dtype))


def _random(spec: Any, *, dtype: str | None) -> Any:
    from dataclasses import replace

    import torch
    from transformers import Dinov2Config, Dinov2Model, ResNetConfig, ResNetModel

    from search.encoders.dinov2 import Dinov2
    from search.encoders.published import choose_arithmetic
    from search.encoders.resnet50 import ResNet50

    chosen = choose_arithmetic()
    chosen = replace(chosen, dtype=dtype) if dtype else chosen
    torch.manual_seed(0)
    kind, model = (
        (ResNet50, ResNetModel(ResNetConfig())) if spec.name == "resnet50" else (Dinov2, Dinov2Model(Dinov2Config()))
    )
    made = kind(model.eval().to(chosen.device, getattr(torch, chosen.dtype)), chosen)
    assert made.dimensions == spec.dimensions
    return made


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _stop_postgres(data_dir: Path) -> None:
    from django.db import connections

    from assetsearch import postgres

    connections.close_all()
    postgres.release(data_dir)


if __name__ == "__main__":
    main()
