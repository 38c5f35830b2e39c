"""Pictures that take down whoever looks at them, or keep him for ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from PIL import Image

from gallery import sandbox
from tests.conftest import drawn, encoded
from tests.faults import poison
from tests.faults.poisonous import GREYS
from tests.product import Client, Product, running, wait_for

#: Pictures, one of which does harm: a hundred where its process is killed, fewer where it comes to other harm.
COUNT, FEWER = 100, 40
#: Seconds; a sweep each minute makes good what was missed.
SETTLED = 400


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared) -> Iterator[Product]:
    with running(
        tmp_path_factory.mktemp("poison") / "data",
        prepared=prepared,
        DJANGO_SETTINGS_MODULE="tests.faults.poisonous_settings",
    ) as made:
        yield made


@pytest.fixture
def client(product) -> Client:
    return product.sign_in()


def grey(shade: int) -> bytes:
    return encoded(Image.new("RGB", (64, 64), (shade, shade, shade)), "PNG")


def folder_of(path: Path, pictures: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in pictures.items():
        (path / name).write_bytes(data)
    return path


def tried(product: Product, harm: str) -> int:
    log = product.data_dir / f"{harm}.log"
    return len(log.read_text().split()) if log.exists() else 0


def assets_named(client: Client, names: set[str]) -> dict[str, dict]:
    found, page = {}, client.get("/assets/", page_size=200)
    while True:
        found |= {asset["filename"]: asset for asset in page["results"] if asset["filename"] in names}
        if not page["next"]:
            return found
        page = client.session.get(page["next"], timeout=60).json()


def most_attempts(product: Product, names: set[str]) -> int:
    listed = ", ".join(f"'{name}'" for name in names)
    return int(
        product.psql(
            "SELECT max(attempts) FROM search_embedding JOIN gallery_asset a ON a.id = asset_id "
            f"WHERE a.filename IN ({listed})"
        ).strip("[](),")
    )


@pytest.mark.product
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("harm", "step"), GREYS)
def test_one_of_many_is_tried_three_times_and_the_others_finish(product, client, tmp_path, harm, step):
    names = {f"{harm}-{number:03}.jpg" for number in range(COUNT if harm == "kill" else FEWER)}
    first = list(GREYS).index((harm, step)) * 1000
    pictures = {name: encoded(drawn(first + place)) for place, name in enumerate(sorted(names))}
    bad = f"{harm}-{len(names) // 2:03}.jpg"
    pictures[bad] = grey(GREYS[harm, step])
    product.command("import_folder", str(folder_of(tmp_path / "import", pictures)))
    wait_for(client.is_settled, seconds=SETTLED, what="embedding")
    assets = assets_named(client, names)
    assert {name: asset["status"] for name, asset in assets.items()} == {**dict.fromkeys(names, "ready"), bad: "failed"}
    assert assets[bad]["error"].startswith("Embedding was tried 3 times and never finished")
    assert tried(product, harm) == 3
    assert most_attempts(product, names - {bad}) <= 2


@pytest.mark.product
@pytest.mark.timeout(600)
def test_poison_uploaded_by_hand_keeps_no_other_upload_waiting(product, client):
    before = tried(product, "freeze")
    bad = client.upload("by-hand.png", encoded(Image.new("RGB", (80, 80), (160, 160, 160)), "PNG"))
    others = [client.upload(f"by-hand-{seed}.jpg", encoded(drawn(seed))) for seed in range(9000, 9005)]

    def states() -> list[str]:
        return [client.get(f"/assets/{asset['id']}/")["status"] for asset in others]

    wait_for(lambda: set(states()) == {"ready"}, seconds=90, what="embedding of the others")
    wait_for(client.is_settled, seconds=SETTLED, what="the end of the poison")
    assert client.get(f"/assets/{bad['id']}/")["status"] == "failed"
    assert tried(product, "freeze") - before == 3


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (poison.kill, "decode_memory"),
        (poison.abort, "decode_memory"),
        (poison.hang, "decode_timeout"),
        (poison.freeze, "decode_timeout"),
    ],
)
def test_picture_that_harms_its_decoder_is_refused_alone(api, monkeypatch, picture, harm, code):
    monkeypatch.setattr(settings, "DECODE_TIMEOUT_S", 1)
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "render", harm)
        refused = api.post("/api/v1/assets/", {"file": picture(1)}, format="multipart")
    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert api.get("/api/v1/assets/").json()["results"] == []
    assert api.post("/api/v1/assets/", {"file": picture(1)}, format="multipart").status_code == 201
