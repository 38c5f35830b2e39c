"""Keeps pictures from outside that are searched with, for a day, and forgets them."""

from django.core.files import File
from django.core.files.base import ContentFile

from gallery import sandbox
from gallery.models import Viewer
from gallery.uploads import clean_filename, spooled, storage_errors
from search.query_models import QueryPicture, QueryPictureQuerySet, in_a_day

#: Of people who are not signed in, all together: with a preview of half a megabyte each, a gigabyte.
MOST_OF_STRANGERS = 2_000


def keep(file: File[bytes], viewer: Viewer) -> QueryPicture:
    """For a day from now; the same bytes once for each person. Raises Refused."""
    owner_id = viewer.pk if viewer.is_authenticated else None
    with storage_errors(), spooled(file) as (path, sha256):
        if kept := QueryPicture.objects.filter(owner=owner_id, sha256=sha256).first():
            kept.expires = in_a_day()
            kept.save(update_fields=["expires"])
            return kept
        rendered = sandbox.render_file(path)
    made = QueryPicture(
        owner_id=owner_id,
        name=clean_filename(file.name or ""),
        sha256=sha256,
        width=rendered.width,
        height=rendered.height,
    )
    with storage_errors():
        made.preview.save("preview.jpg", ContentFile(rendered.preview), save=False)
    made.save(force_insert=True)
    if owner_id is None:
        strangers = QueryPicture.objects.of_strangers()
        forget(strangers.filter(pk__in=strangers.order_by("-created").values("pk")[MOST_OF_STRANGERS:]))
    return made


def forget(pictures: QueryPictureQuerySet) -> None:
    """Rows first: a file that outlives its row belongs to none, and the sweep of files takes it."""
    for picture in pictures.all():
        deleted, _ = pictures.filter(pk=picture.pk).delete()  # asked anew: it may have been searched with just now
        if deleted:
            picture.preview.storage.delete(picture.preview.name or "")


def forget_expired() -> None:
    """For a schedule."""
    forget(QueryPicture.objects.expired())
