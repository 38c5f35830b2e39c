"""The API of imports."""

from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from gallery.api import NewestFirst, Reason, TagNames
from gallery.archive_upload import ArchiveUploadHandler
from gallery.errors import Code, Refused
from gallery.import_models import Import, Refusal
from gallery.ingest import background
from gallery.ingest.archive import check_archive
from gallery.ingest.folder import folder_below
from gallery.ingest.urls import MOST_URLS, faults, listed
from gallery.models import Collection
from gallery.tasks import queue_import
from gallery.uploads import Details


class ImportUrls(serializers.Serializer[Import]):
    page = serializers.URLField()
    refusals = serializers.URLField()


class ImportSerializer(serializers.ModelSerializer[Import]):
    done = serializers.IntegerField(read_only=True, help_text="Stored, there already, or refused.")
    ends = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When it may be done, so far as known.")
    error = Reason(read_only=True, help_text="Why it failed as a whole.")
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Import
        fields = [
            "id", "kind", "name", "state", "error", "total", "done", "stored", "duplicates", "refused", "created",
            "started", "finished", "ends", "collection", "tags", "urls",
        ]  # fmt: skip

    def get_urls(self, row: Import) -> ImportUrls:
        request = self.context["request"]
        views = {"page": "gallery:import", "refusals": "api:import-refusals"}
        return cast("ImportUrls", {name: reverse(view, [row.pk], request=request) for name, view in views.items()})


class BeginSerializer(serializers.Serializer[Import]):
    file = serializers.FileField(allow_empty_file=True, required=False, help_text="A ZIP file.")
    urls = serializers.ListField(
        child=serializers.CharField(), required=False, allow_empty=False, help_text=f"At most {MOST_URLS:,}."
    )
    folder = serializers.CharField(
        max_length=300, required=False, help_text="Below the folder that IMPORT_ROOT names; for staff."
    )
    collection = serializers.PrimaryKeyRelatedField(
        queryset=Collection.objects.all(), required=False, allow_null=True, default=None
    )
    tags = TagNames(required=False, default=list)

    def validate_urls(self, given: list[str]) -> list[str]:
        urls = listed(given)
        if not 1 <= len(urls) <= MOST_URLS:
            raise serializers.ValidationError(
                gettext("Give one URL or more; at most %(most)s.") % {"most": f"{MOST_URLS:,}"}
            )
        if found := list(faults(given)):
            raise serializers.ValidationError(found)
        return urls

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs.keys() & {"file", "urls", "folder"}) != 1:
            raise serializers.ValidationError(gettext("Give one of `file`, `urls` and `folder`."))
        return attrs


class RefusalSerializer(serializers.ModelSerializer[Refusal]):
    detail = Reason(read_only=True)

    class Meta:
        model = Refusal
        fields = ["position", "source", "code", "detail", "may_pass"]


class InOrder(NewestFirst):
    page_size = 200
    ordering = "position"


@extend_schema_view(
    list=extend_schema(summary="List one's own imports, newest first; staff see all"),
    retrieve=extend_schema(summary="How far an import is"),
)
class ImportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Import]):
    queryset = Import.objects.none()  # for the schema; see get_queryset
    serializer_class = ImportSerializer
    pagination_class = NewestFirst
    filter_backends = []
    permission_classes = [IsAuthenticated]  # whose it is, get_queryset says
    parser_classes = [MultiPartParser, FormParser, JSONParser]

    def get_queryset(self) -> QuerySet[Import]:
        return Import.objects.visible_to(self.request.user).for_display()

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        request.upload_handlers = [ArchiveUploadHandler(request)]
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        summary="Import a ZIP file, a list of URLs, or a folder of the server's",
        request={"multipart/form-data": BeginSerializer, "application/json": BeginSerializer},
        responses={201: ImportSerializer},
    )
    def create(self, request: Request) -> Response:
        """It goes on by itself; ask after it at its own address."""
        given = BeginSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        begun = _begin(given.validated_data, cast("User", request.user))
        queue_import(begun)
        return Response(self.get_serializer(begun).data, status=201)

    @extend_schema(summary="Pause an import", request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        background.pause(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(summary="Go on with a paused import", request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        if background.resume(row):
            queue_import(row)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(summary="End an import; what is stored stays", request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        background.cancel(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        summary="Try again what was refused for no fault of its own", request=None, responses=ImportSerializer
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        if not background.retry(row):
            raise Refused(Code.INVALID, _("There is nothing to try again, or it is too long ago."))
        queue_import(row)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(summary="What an import refused, and why", responses=RefusalSerializer(many=True))
    @action(detail=True, pagination_class=InOrder)
    def refusals(self, request: Request, pk: str) -> Response:
        refusals: Any = self.get_object().refusals.filter(again=False)
        page: Any = self.paginate_queryset(refusals)
        return self.get_paginated_response(RefusalSerializer(page, many=True).data)


def _begin(fields: dict[str, Any], owner: User) -> Import:
    """Raises Refused."""
    details = Details(collection=fields["collection"], tags=fields["tags"])
    if "file" in fields:
        check_archive(fields["file"])
        return background.begin_archive(fields["file"], owner, details)
    if "urls" in fields:
        return background.begin_urls(fields["urls"], owner, details)
    if not owner.is_staff:
        raise PermissionDenied
    folder_below(fields["folder"])
    return background.begin_folder(fields["folder"], owner, details)
