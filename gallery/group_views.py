"""Pages of collections and tags."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from gallery.forms import CollectionForm
from gallery.models import Asset, Collection, Tag
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    get_editable_collection,
    respond,
    status_of,
    takes_forms,
)

_COLLECTIONS_A_PAGE, _TAGS_A_PAGE = 60, 300


@takes_forms
@for_readers
def collections(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _create_collection(request)  # type: ignore[arg-type]  # it lets members in alone
    return _list_collections(request, CollectionForm())


@for_members
def _create_collection(request: MemberRequest) -> HttpResponse:
    form = CollectionForm(request.POST, instance=Collection(owner=request.user))
    if not form.is_valid():
        return _list_collections(request, form)
    made = form.save()
    messages.success(request, f"Collection “{made}” is there. Choose it when you upload or edit.")
    return redirect("gallery:collections")


def _list_collections(request: Request, form: CollectionForm) -> HttpResponse:
    page = Paginator(_with_cover(Collection.objects.all()), _COLLECTIONS_A_PAGE).get_page(request.GET.get("page"))
    for collection in page:
        collection.may_edit = collection.may_be_edited_by(request.user)
    return render(request, "gallery/collections.html", {"page": page, "form": form}, status=status_of(form))


def _with_cover(found: QuerySet[Collection]) -> QuerySet[Any]:
    """With the newest asset's id and the number of assets, each looked up for the rows of one page alone."""
    own = Asset.objects.filter(collection=OuterRef("pk")).order_by()
    counted = own.values("collection").annotate(count=Count("pk")).values("count")
    return found.annotate(cover=Subquery(own.order_by("-pk").values("pk")[:1]), count=Subquery(counted))


@takes_forms
@for_members
def rename_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    collection = get_editable_collection(request, collection_id)
    form = CollectionForm(request.POST if request.method == "POST" else None, instance=collection)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("gallery:collections")
    context = {"form": form}
    return respond(request, "gallery/rename.html", "gallery/_rename.html", context, status=status_of(form))


@takes_forms
@for_members
def delete_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    collection = get_editable_collection(request, collection_id)
    if request.method == "POST":
        collection.delete()
        messages.success(request, f"Collection “{collection}” was deleted; its assets stay.")
        return redirect("gallery:collections")
    context = {
        "heading": f"Delete collection “{collection}”?",
        "text": "Its assets stay in the gallery; they only leave the collection.",
        "back": reverse("gallery:collections"),
    }
    return respond(request, "gallery/confirm_delete.html", "gallery/_confirm_delete.html", context)


@require_safe
@for_readers
def tags(request: Request) -> HttpResponse:
    uses = Asset.tags.through.objects.all()
    used = Tag.objects.filter(Exists(uses.filter(tag=OuterRef("pk")))).order_by(Lower("name"))
    page = Paginator(used, _TAGS_A_PAGE).get_page(request.GET.get("page"))
    # all of a page at once: looked up one by one, 300 tags of 300,000 uses took ten times as long
    counts = dict(uses.filter(tag__in=[tag.pk for tag in page]).values_list("tag").annotate(Count("pk")))
    counted = [(tag, counts.get(tag.pk, 0)) for tag in page]
    return render(request, "gallery/tags.html", {"page": page, "counted": counted})
