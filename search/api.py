"""The API of searching, and of the state of the system."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gallery.api import AssetSerializer
from gallery.filters import AssetFilter
from gallery.images import CONTENT_TYPES
from gallery.models import Asset, AssetQuerySet, Collection
from search import query
from search.models import Encoder, IndexBuild
from search.query import Answer

#: Pictures in one request; all are decoded and encoded before the answer.
_MAX_PICTURES = 20


class HowManyAndWhich(serializers.Serializer[Any]):
    """k, and the filters that assets have everywhere."""

    k = serializers.IntegerField(min_value=1, max_value=query.MAX_K, default=query.DEFAULT_K)
    q = serializers.CharField(max_length=200, required=False)
    collection = serializers.PrimaryKeyRelatedField(queryset=Collection.objects.all(), required=False)
    tag = serializers.CharField(max_length=100, required=False)
    status = serializers.ChoiceField(Asset.Status.choices, required=False)
    format = serializers.ChoiceField(sorted(CONTENT_TYPES), required=False)


class SearchSerializer(HowManyAndWhich):
    """Pictures as files, or a stored asset by its id."""

    image = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True), max_length=_MAX_PICTURES, required=False
    )
    asset = serializers.IntegerField(min_value=1, required=False)
    mode = serializers.ChoiceField(["separate", "combined"], default="separate")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("image")) == ("asset" in attrs):
            raise serializers.ValidationError("Give either `image`, one file or more, or `asset`, an id.")
        return attrs


class HowSerializer(serializers.Serializer[query.How]):
    exact = serializers.BooleanField()
    index = serializers.CharField(allow_null=True)
    probes = serializers.IntegerField(allow_null=True)
    recall = serializers.FloatField(allow_null=True)


class HitSerializer(serializers.Serializer[query.Hit]):
    rank = serializers.IntegerField()
    similarity = serializers.FloatField()
    distance = serializers.FloatField()
    asset = AssetSerializer()


class TookSerializer(serializers.Serializer[dict[str, float]]):
    encode = serializers.FloatField()
    search = serializers.FloatField()


class AnswerSerializer(serializers.Serializer[Answer]):
    encoder = serializers.CharField()
    search = HowSerializer()
    took_ms = TookSerializer()
    results = HitSerializer(many=True)


class SearchView(APIView):
    only_reads = True  # a search changes nothing, although it is a POST
    parser_classes = [MultiPartParser, FormParser, JSONParser]

    @extend_schema(
        summary="Find what looks like a picture",
        request={"multipart/form-data": SearchSerializer, "application/json": SearchSerializer},
        responses=AnswerSerializer,
    )
    def post(self, request: Request) -> Response:
        """An answer; a list of answers for several pictures with `mode` = separate."""
        given = SearchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        if "asset" in wanted:
            asset = get_object_or_404(Asset.objects.visible_to(request.user), pk=wanted["asset"])
            return _respond(query.like_asset(asset, k=wanted["k"], among=_among(request, wanted)), request)
        answers = query.like_pictures(
            wanted["image"], k=wanted["k"], among=_among(request, wanted), together=wanted["mode"] == "combined"
        )
        return _respond(answers[0] if len(answers) == 1 else answers, request)


class SimilarView(APIView):
    @extend_schema(summary="Find what looks like an asset", parameters=[HowManyAndWhich], responses=AnswerSerializer)
    def get(self, request: Request, pk: int) -> Response:
        given = HowManyAndWhich(data=request.query_params)
        given.is_valid(raise_exception=True)
        asset = get_object_or_404(Asset.objects.visible_to(request.user), pk=pk)
        wanted = given.validated_data
        return _respond(query.like_asset(asset, k=wanted["k"], among=_among(request, wanted)), request)


def _among(request: Request, wanted: dict[str, Any]) -> AssetQuerySet | None:
    """The assets to search among; None for every asset, which spares the search a join."""
    data = {**wanted, "collection": wanted["collection"].pk} if "collection" in wanted else wanted
    chosen = AssetFilter(data, Asset.objects.visible_to(request.user))
    return chosen.matching() if chosen.is_narrowing else None


def _respond(answer: Answer | list[Answer], request: Request) -> Response:
    many = isinstance(answer, list)
    return Response(AnswerSerializer(answer, many=many, context={"request": request}).data)  # type: ignore[arg-type]


class CountsSerializer(serializers.Serializer[dict[str, int]]):
    pending = serializers.IntegerField()
    ready = serializers.IntegerField()
    failed = serializers.IntegerField()


class EncoderSerializer(serializers.ModelSerializer[Encoder]):
    wanted = serializers.SerializerMethodField(help_text="The encoder that the settings name.")

    class Meta:
        model = Encoder
        fields = ["name", "revision", "dimensions", "preprocessing", "wanted"]

    def get_wanted(self, encoder: Encoder) -> str:
        return str(settings.ENCODER)


class IndexSerializer(serializers.ModelSerializer[IndexBuild]):
    class Meta:
        model = IndexBuild
        fields = ["kind", "rows", "lists", "probes", "recall", "finished"]


class StatusSerializer(serializers.Serializer[dict[str, Any]]):
    assets = CountsSerializer()
    encoder = EncoderSerializer(allow_null=True)
    index = IndexSerializer(allow_null=True, help_text="Null while searches are exact.")


class StatusView(APIView):
    @extend_schema(summary="How many assets can be searched, by which encoder and index", responses=StatusSerializer)
    def get(self, request: Request) -> Response:
        encoder = Encoder.objects.active()
        index = IndexBuild.objects.serving(encoder) if encoder else None
        state = {"assets": Asset.objects.counts_by_status(), "encoder": encoder, "index": index}
        return Response(StatusSerializer(state).data)
