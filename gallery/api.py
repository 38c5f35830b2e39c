"""The API of assets."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import django_filters
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files import File
from django.db import DataError, transaction
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.filters import OrderingFilter
from rest_framework.generics import get_object_or_404
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from gallery import changing, trash
from gallery.filters import AssetFilter, ChoiceFilter, DayFilter, PixelsFilter, TagsFilter
from gallery.history import Act
from gallery.ingest.fetch import MAX_URL, fetch, in_turn
from gallery.media import send_original
from gallery.models import Asset, AssetQuerySet, Collection
from gallery.reasons import retold
from gallery.uploads import Details, store_upload


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


class TagNames(serializers.ListField):
    """Tags by name. A form may give them in one value, separated by commas."""

    child = serializers.CharField(max_length=100)

    def to_internal_value(self, data: Any) -> list[str]:
        given = data if isinstance(data, list) else [data]
        split = [part for item in given for part in (item.split(",") if isinstance(item, str) else [item])]
        return [str(name) for name in super().to_internal_value([part for part in split if not _is_blank(part)])]

    def to_representation(self, data: Any) -> list[str]:
        raise NotImplementedError  # AssetSerializer does it


class Reason(serializers.CharField):
    """One that is kept in a row."""

    def to_representation(self, value: str) -> str:
        return retold(value)


class Urls(serializers.Serializer[Asset]):
    original = serializers.URLField()
    preview = serializers.URLField()
    thumbnail = serializers.URLField()
    similar = serializers.URLField()


class Location(serializers.Serializer[Asset]):
    """In degrees, WGS 84. Told to the asset's owner and to staff; null for all others."""

    latitude = serializers.FloatField()
    longitude = serializers.FloatField()


#: What answers at the URLs of an asset.
_VIEWS = {
    "original": "api:asset-download",
    "preview": "gallery:preview",
    "thumbnail": "gallery:thumbnail",
    "similar": "api:asset-similar",
}
#: The largest there may be; nothing else in a URL looks like it.
_ANY_ID = 2**63 - 1
#: Fields that are answered as they are.
_PLAIN = (
    "id", "title", "filename", "status", "error", "sha256", "format", "mismatch", "width", "height", "size_bytes",
    "source_url", "caption", "keywords", "camera", "lens",
)  # fmt: skip
_time = serializers.DateTimeField()


class AssetSerializer(serializers.ModelSerializer[Asset]):
    collection = serializers.PrimaryKeyRelatedField(queryset=Collection.objects.all(), required=False, allow_null=True)
    tags = TagNames(required=False)
    mismatch = serializers.CharField(
        read_only=True, help_text="Says so where the file is named for another kind of content than it has."
    )
    location = serializers.SerializerMethodField()
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Asset
        fields = [
            "id", "title", "filename", "status", "error", "sha256", "format", "mismatch", "width", "height",
            "size_bytes", "source_url", "caption", "keywords", "camera", "lens", "taken", "location", "created",
            "collection", "tags", "urls",
        ]  # fmt: skip
        read_only_fields = [
            "filename", "status", "error", "sha256", "format", "mismatch", "width", "height", "size_bytes",
            "source_url", "caption", "keywords", "camera", "lens", "taken", "created",
        ]  # fmt: skip

    def to_representation(self, instance: Asset) -> dict[str, Any]:
        """What the fields say. Field by field takes longer for ten assets than to find them."""
        return {
            **{name: getattr(instance, name) for name in _PLAIN},
            "error": retold(instance.error),
            "taken": instance.taken and _time.to_representation(instance.taken),
            "location": self.get_location(instance),
            "created": _time.to_representation(instance.created),
            "collection": instance.collection_id,
            "tags": [tag.name for tag in instance.tag_list],
            "urls": self.get_urls(instance),
        }

    @extend_schema_field(Location(allow_null=True))
    def get_location(self, asset: Asset) -> dict[str, float] | None:
        told = asset.location_for(self.context["request"].user)
        return told and {"latitude": told[0], "longitude": told[1]}

    @extend_schema_field(Urls)
    def get_urls(self, asset: Asset) -> dict[str, str]:
        return {name: url.replace(str(_ANY_ID), str(asset.pk)) for name, url in self._urls.items()}

    @cached_property
    def _urls(self) -> dict[str, str]:
        """Of any asset: to look up four for each of ten hits takes as long as to find the ten."""
        request = self.context["request"]
        return {name: reverse(view, [_ANY_ID], request=request) for name, view in _VIEWS.items()}

    def update(self, instance: Asset, validated_data: dict[str, Any]) -> Asset:
        own, act = Asset.objects.filter(pk=instance.pk), _act(self.context["request"])
        with transaction.atomic():
            if "title" in validated_data:
                changing.retitle(own, validated_data["title"], act)
            if "collection" in validated_data:
                changing.move(own, validated_data["collection"], act)
            if "tags" in validated_data:
                changing.set_tags(instance, validated_data["tags"], act)
        return Asset.objects.for_display().get(pk=instance.pk)


class UploadSerializer(serializers.Serializer[Asset]):
    file = serializers.FileField(allow_empty_file=True, required=False)  # an empty one gets its own code
    url = serializers.CharField(max_length=MAX_URL, required=False, help_text="Where to fetch it, instead of `file`.")
    title = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
    collection = serializers.PrimaryKeyRelatedField(
        queryset=Collection.objects.all(), required=False, allow_null=True, default=None
    )
    tags = TagNames(required=False, default=list)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("file" in attrs) == ("url" in attrs):
            raise serializers.ValidationError(_("Give either `file` or `url`."))
        return attrs


class StoredSerializer(AssetSerializer):
    duplicate = serializers.BooleanField(read_only=True)
    restored = serializers.BooleanField(read_only=True, help_text="It lay in the trash, and is back.")

    class Meta(AssetSerializer.Meta):
        fields = [*AssetSerializer.Meta.fields, "duplicate", "restored"]


class FiltersSerializer(serializers.Serializer[Any]):
    """The filters of assets, for the schema of calls that take them; `assets_asked_for` reads them."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), **{name: _described(one) for name, one in AssetFilter.base_filters.items()}}


def _described(one: django_filters.Filter) -> serializers.Field[Any, Any, Any, Any]:
    told = {"required": False, "help_text": one.extra.get("help_text", "")}
    match one:
        case TagsFilter():
            return TagNames(**told)
        case PixelsFilter():
            return serializers.IntegerField(min_value=0, **told)
        case DayFilter():
            return serializers.DateField(**told)
        case ChoiceFilter():
            return serializers.ChoiceField(one.extra["choices"], **told)
        case django_filters.ModelChoiceFilter() if "to_field_name" not in one.extra:
            return serializers.IntegerField(min_value=1, **told)
    return serializers.CharField(**told)


def assets_asked_for(request: Request, data: Mapping[str, Any]) -> AssetQuerySet | None:
    """The assets that the filters in a query string or a body let pass; None where there are no filters.

    Raises ValidationError where one of them cannot be understood.
    """
    if not AssetFilter.texts(data):  # to make a form of nothing takes as long as to search
        return None
    chosen = AssetFilter(data, Asset.objects.readable_by(request.user))
    if chosen.errors:
        raise translate_validation(chosen.errors)
    return chosen.among() if chosen.is_narrowing else None


class NewestFirst(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = "-id"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DataError):  # a cursor that was made up is compared with as it is
            raise NotFound(self.invalid_cursor_message) from None


@extend_schema_view(
    list=extend_schema(summary="List assets, newest first"),
    retrieve=extend_schema(summary="One asset"),
    partial_update=extend_schema(summary="Change title, collection or tags"),
    destroy=extend_schema(summary="Move an asset to the trash"),
)
class AssetViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Asset],
):
    queryset = Asset.objects.none()  # for the schema; see get_queryset
    serializer_class = AssetSerializer
    pagination_class = NewestFirst
    filter_backends = [DjangoFilterBackend, OrderingFilter]
    filterset_class = AssetFilter
    ordering = ["-id"]
    ordering_fields = ["id", "created"]  # what many assets share cannot be paged by a cursor
    parser_classes = [MultiPartParser, FormParser, JSONParser]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> QuerySet[Asset]:
        return Asset.objects.visible_to(self.request.user).for_display()

    @extend_schema(
        summary="Upload a picture",
        request={"multipart/form-data": UploadSerializer, "application/json": UploadSerializer},
        responses={201: StoredSerializer, 200: StoredSerializer},
    )
    def create(self, request: Request) -> Response:
        """201 with the asset; 200 with the asset that exists, and `duplicate`, where the same bytes are there."""
        given = UploadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = given.validated_data
        details = Details(fields["title"], fields["collection"], fields["tags"], source_url=fields.get("url", ""))
        with _source(fields) as file:
            stored = store_upload(file, cast("User", request.user), details)  # the permission saw to that
        answer = AssetSerializer(stored.asset, context=self.get_serializer_context()).data
        told = {"duplicate": stored.duplicate, "restored": stored.restored}
        return Response({**answer, **told}, status=200 if stored.duplicate else 201)

    def perform_destroy(self, instance: Asset) -> None:
        trash.move_to_trash(Asset.objects.filter(pk=instance.pk), _act(self.request))

    @extend_schema(summary="List the trash: your own assets; for staff everyone's", filters=False)
    @action(detail=False)
    def trash(self, request: Request) -> Response:
        page = self.paginate_queryset(Asset.objects.in_trash_of(request.user).for_display())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Take an asset out of the trash", request=None, responses=AssetSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        asset = get_object_or_404(Asset.objects.in_trash_of(request.user), pk=pk)
        trash.restore(Asset.objects.filter(pk=asset.pk), _act(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(summary="The original bytes, under the original file name", responses={200: OpenApiTypes.BINARY})
    @action(detail=True)
    def download(self, request: Request, pk: str) -> HttpResponseBase:
        return send_original(self.get_object(), request.user)


def _act(request: Request) -> Act:
    return Act(cast("User", request.user))  # the permission saw to that


def _source(fields: dict[str, Any]) -> File[bytes]:
    if "url" not in fields:
        return cast("File[bytes]", fields["file"])
    with in_turn():
        return fetch(fields["url"])
