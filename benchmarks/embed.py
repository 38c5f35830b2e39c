"""How fast pictures become vectors: the encoder alone, and the whole pipeline from stored files to committed rows.

    .venv/bin/python benchmarks/embed.py --photos DIR [--encoder NAME] [--json FILE]

For each encoder, in one run, several rounds of each in turn (the medians count):
  forward   `encode` on arrays that `prepare` made: the limit
  arrays    `prepare` and `encode` on decoded pictures, one thread: the encoder's own rate
  pipeline  claim, read, decode, prepare, encode, store; rows a second, as committed
DINOv2 runs at its full size with random weights: that shows speed and memory, and nothing of quality.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ.pop("DATABASE_URL", None)

#: Pictures a round, and rounds: some ten seconds a round on two cores.
COUNTS = {"descriptor": 600, "dinov2-base": 32}
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--encoder", action="append", choices=COUNTS, help="default: each of them")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: what the product would choose")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="assetsearch-benchmark-")
    os.environ["DATA_DIR"] = folder
    try:
        results = run(options.photos, options.encoder or list(COUNTS), options.dtype)
    finally:
        _stop_postgres(Path(folder))
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"results": results}, indent=1))


def run(photos: Path, names: Sequence[str], dtype: str | None) -> list[dict[str, Any]]:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    _store(photos, max(COUNTS[name] for name in names))
    results = []
    for name in names:
        results += measure(name, dtype)
    return results


def measure(name: str, dtype: str | None) -> list[dict[str, Any]]:
    from gallery.models import Asset
    from search import encoders, pipeline
    from search.encoders import registry
    from search.models import Embedding, Encoder

    if name != "descriptor":
        _with_random_weights(name, dtype)
        registry.forget()
    encoder, count = encoders.load(name), COUNTS[name]
    row = Encoder.objects.for_spec(encoders.spec(name))
    row.activate()
    everything = list(Asset.objects.order_by("pk").values_list("pk", flat=True))
    wanted, others = everything[:count], everything[count:]
    pictures = [_decoded(asset, encoder.decode_side_px) for asset in Asset.objects.filter(pk__in=wanted)]
    prepared = [encoder.prepare(picture) for picture in pictures]

    def forward() -> None:
        _encode(encoder, prepared)

    def arrays() -> None:
        _encode(encoder, (encoder.prepare(picture) for picture in pictures))

    def whole_pipeline() -> None:
        tally = pipeline.embed_pending(row)
        assert (tally.ready, tally.failed) == (count, 0), tally

    def forget() -> None:
        Embedding.objects.filter(encoder=row).delete()
        pipeline.claim(others, row)  # so that as many are pending as the other measurements take

    seconds: dict[str, list[float]] = {"forward": [], "arrays": [], "pipeline": []}
    for _ in range(ROUNDS):
        seconds["forward"].append(_timed(forward))
        seconds["arrays"].append(_timed(arrays))
        forget()
        seconds["pipeline"].append(_timed(whole_pipeline))
    return _report(name, encoder.dtype, {what: count / statistics.median(took) for what, took in seconds.items()})


def _report(name: str, dtype: str, rates: dict[str, float]) -> list[dict[str, Any]]:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name} ({dtype}), peak memory so far {peak_mb:.0f} MB")
    for what, rate in rates.items():
        print(f"  {what:9} {rate:7.1f} images/s")
    print(f"  pipeline / arrays {rates['pipeline'] / rates['arrays']:.2f} (asked for: >= 0.80)", end="")
    print(f", pipeline / forward {rates['pipeline'] / rates['forward']:.2f}\n", flush=True)
    return [
        {"name": what, "encoder": name, "dtype": dtype, "images_per_s": rate, "peak_mb": peak_mb}
        for what, rate in rates.items()
    ]


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
    import torch
    from transformers import Dinov2Config, Dinov2Model

    from search.encoders.dinov2 import Arithmetic, Dinov2, choose_arithmetic

    chosen = Arithmetic("cpu", dtype, "asked for") if dtype else choose_arithmetic()
    torch.manual_seed(0)
    model = Dinov2Model(Dinov2Config()).eval().to(chosen.device, getattr(torch, chosen.dtype))
    assert model.config.hidden_size == spec.dimensions
    return Dinov2(model, chosen)


def _decoded(asset: Any, side_px: int) -> Any:
    from gallery.images import open_rendition

    return open_rendition(asset.preview.open("rb").read(), shorter_side_px=side_px)


def _encode(encoder: Any, prepared: Any) -> None:
    import numpy as np

    batch = []
    for pixels in prepared:
        batch.append(pixels)
        if len(batch) == encoder.batch_size:
            encoder.encode(np.stack(batch))
            batch = []
    if batch:
        encoder.encode(np.stack(batch))


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
