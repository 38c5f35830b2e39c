"""What tests stand on: people, pictures made in memory, and assets as an upload leaves them."""

import io
import os
import signal
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.color import Style
from django.core.management.commands import flush
from django.core.management.sql import sql_flush
from django.db.backends.postgresql.base import DatabaseWrapper
from django.http import HttpResponse
from django.test import Client
from django.utils import translation
from PIL import Image
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from gallery.models import Asset
from gallery.uploads import Details, store_upload
from search import encoders
from search.encoders import EncoderSpec, registry
from search.models import Encoder
from tests.server import Server, answer, running

pytest_plugins = ["tests.walking"]

Picture = Callable[..., SimpleUploadedFile]


def drawn(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture unlike that of any other seed: coarse coloured noise, smooth enough to survive JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


#: A table that has grown beyond is truncated, lest dead rows slow down what follows, and mislead the planner.
_MUCH_BYTES = 2**18

#: How long an example takes says more of what else runs than of what is tested.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


# Where a shell's background job ignores Ctrl-C, whatever it starts does too, and nothing could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: tests of the whole product spend half of their time waiting for it."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that start the product, or commit, come first: they take longest, and short ones even out the end."""
    long = {item.path for item in items if _is_long(item)}
    items.sort(key=lambda item: item.path not in long)


def _is_long(item: pytest.Item) -> bool:
    fixtures, database = getattr(item, "fixturenames", []), item.get_closest_marker("django_db")
    commits = database is not None and database.kwargs.get("transaction", False)
    return bool(commits or item.get_closest_marker("product") or {"product", "transactional_db"} & set(fixtures))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """After a test that commits all tables are emptied, as Django does it, in a fiftieth of the time.

    What `migrate` notes down of models is copied then, and not made anew.
    """
    with django_db_blocker.unblock():
        noted = [(model.objects, list(model.objects.all())) for model in (ContentType, Permission)]

    def put_back(*_: object, **__: object) -> None:
        for manager, rows in noted:
            manager.bulk_create(rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", _emptying)
        patch.setattr(flush, "emit_post_migrate_signal", put_back)
        yield


def _emptying(style: Style, connection: DatabaseWrapper, **options: bool) -> list[str]:
    """Statements that leave all tables empty. Truncating them takes a third of a second, however little they hold."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(pg_relation_size(quote_ident(t)::regclass)) FROM unnest(%s::text[]) t", [tables])
        if cursor.fetchone()[0] > _MUCH_BYTES:
            return sql_flush(style, connection, **options)
    names = [connection.ops.quote_name(table) for table in tables]
    return [
        f"LOCK TABLE {', '.join(names)}",  # as truncating does: what other threads are about to commit goes too
        "SET LOCAL session_replication_role = replica",  # in whatever order, and without what triggers do
        *(f"DELETE FROM {name}" for name in names),
    ]


def main_of(page: HttpResponse) -> str:
    """What a page has of its own, besides what every page has."""
    return page.content.decode().partition("<main")[2].partition("</main>")[0]


@pytest.fixture
def picture() -> Picture:
    """picture(seed, name=..., size=..., format=...): an upload. The same arguments give the same bytes."""

    def make(
        seed: int = 0, *, name: str = "", size: tuple[int, int] = (64, 48), format: str = "JPEG"
    ) -> SimpleUploadedFile:
        return SimpleUploadedFile(name or f"picture-{seed}.{format.lower()}", encoded(drawn(seed, size), format))

    return make


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ann", password="correct horse")


@pytest.fixture
def stranger(db: None) -> User:
    """Signed in, and neither owner nor staff."""
    return User.objects.create_user("bob", password="correct horse")


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("cleo", password="correct horse")


@pytest.fixture
def user_client(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stranger_client(stranger: User) -> Client:
    client = Client()
    client.force_login(stranger)
    return client


@pytest.fixture
def staff_client(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


@pytest.fixture
def api(user: User) -> APIClient:
    """The API as `user`, by token as clients use it."""
    from rest_framework.authtoken.models import Token

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
    return client


@pytest.fixture
def encoder(db: None) -> Encoder:
    """The built-in encoder, serving."""
    row = Encoder.objects.for_spec(encoders.spec("descriptor"))
    row.activate()
    return row


@pytest.fixture
def asset(user: User, picture: Picture) -> Callable[..., Asset]:
    """asset(seed, owner=..., title=..., tags=[...], collection=...): an asset as an upload leaves it."""

    def make(seed: int = 0, *, owner: User | None = None, **details: object) -> Asset:
        return store_upload(picture(seed), owner or user, Details(**details)).asset

    return make


@pytest.fixture
def site(settings) -> Iterator[str]:
    """The address of a server with pictures 1.jpg to 9.jpg, and page.html. All else is not found."""
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    files = {f"/{seed}.jpg": encoded(drawn(seed)) for seed in range(1, 10)} | {"/page.html": b"<html>"}

    def answers(request: str) -> list[bytes]:
        path = request.split()[1]
        return [answer(files[path]) if path in files else answer(status="404 Not Found")]

    with running(Server("127.0.0.2", answers)) as server:
        yield f"http://127.0.0.2:{server.port}"


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    """Throttles and debouncing of one test must not reach into the next."""
    cache.clear()


@pytest.fixture(autouse=True)
def _no_language() -> Iterator[None]:
    """A page in Chinese leaves its thread speaking Chinese, as every request chooses anew."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs and hostile files, where the environment names a folder of them."""
    folder = os.environ.get("ASSETSEARCH_SHARED")
    if not folder:
        pytest.skip("ASSETSEARCH_SHARED is unset: no folder of real photographs to test with")
    return Path(folder).resolve()


class MeanColour:
    """An encoder whose vectors are worked out by hand: a picture's mean red, green and blue, and a constant.

    A picture whose mean is nearly (13, 13, 13) makes it raise, together with all of its batch.
    """

    dimensions, dtype, decode_side_px, batch_size = 4, "float32", 8, 4
    poison = 13

    def __init__(self) -> None:
        self.batches: list[int] = []

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image).reshape(-1, 3).mean(axis=0).astype(np.uint8)

    def encode(self, prepared: np.ndarray) -> np.ndarray:
        self.batches.append(len(prepared))
        if (np.abs(prepared.astype(int) - self.poison) <= 1).all(axis=1).any():
            raise RuntimeError("poison")
        long = np.concatenate([prepared.astype(np.float32), np.full((len(prepared), 1), 64, np.float32)], axis=1)
        return long / np.linalg.norm(long, axis=1, keepdims=True)


@pytest.fixture
def mean_colour(monkeypatch: pytest.MonkeyPatch) -> MeanColour:
    """The encoder above, in the registry as "mean-colour"."""
    made = MeanColour()
    spec = EncoderSpec("mean-colour", "1", MeanColour.dimensions, 1, lambda _: made)
    monkeypatch.setitem(encoders.SPECS, spec.name, spec)
    registry.forget()
    yield made
    registry.forget()


@pytest.fixture
def colour_encoder(db: None, mean_colour: MeanColour) -> Encoder:
    """The row of "mean-colour", serving."""
    row = Encoder.objects.for_spec(encoders.spec("mean-colour"))
    row.activate()
    return row


@pytest.fixture
def flat(user: User) -> Callable[..., Asset]:
    """flat(r, g, b): a stored asset of one colour."""

    def make(*rgb: int, **details: object) -> Asset:
        upload = SimpleUploadedFile(f"{rgb}.png", encoded(Image.new("RGB", (32, 32), rgb), "PNG"))
        return store_upload(upload, user, Details(**details)).asset

    return make
