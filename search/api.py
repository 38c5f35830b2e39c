"""The API of searching, and of the state of the system."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from django.conf import settings
from django.core.files import File
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.generics import get_object_or_404
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gallery.api import AssetSerializer, FiltersSerializer, assets_asked_for
from gallery.errors import Refused
from gallery.ingest.fetch import MAX_URL, fetch, in_turn
from gallery.models import Asset, Tag
from search import query, same_picture
from search.answers import Answer, Hit, How
from search.metrics import COSINE, METRICS
from search.models import Encoder, IndexBuild, Measurement
from search.pictures import Picture, Region
from search.query import Part, Wanted
from search.same_picture import Match

#: Pictures and assets in one request; all are decoded and encoded before the answer.
_MOST_PARTS = 20


# --- what is asked for ------------------------------------------------------------------------------------------


class WantedSerializer(serializers.Serializer[Any]):
    """How many hits, and what counts as one. The filters of assets go beside."""

    k = serializers.IntegerField(min_value=1, max_value=query.MAX_K, default=query.DEFAULT_K)
    metric = serializers.ChoiceField(list(METRICS), default=COSINE.name)
    min_similarity = serializers.FloatField(min_value=-1, max_value=1, default=None, help_text="Nothing below it.")
    collapse = serializers.BooleanField(default=False, help_text="Near-identical hits as one, with a count.")


class OneOrMore(serializers.ListField):
    """A list; one value alone is a list of one."""

    def to_internal_value(self, data: Any) -> list[Any]:
        given: list[Any] = super().to_internal_value(data if isinstance(data, list) else [data])
        return given


@extend_schema_field({"type": "string", "example": "0.25,0,0.5,1"})
class RegionField(serializers.Field[Region | None, Any, Any, Any]):
    """`x,y,w,h` as text or as four numbers; nothing for the whole picture."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> Region | None:
        text = ",".join(map(str, data)) if isinstance(data, list) else str(data)
        return Region.parse(text) if text else None

    def to_representation(self, value: Region | None) -> None:
        raise NotImplementedError  # it is only ever read


class RegionsField(OneOrMore):
    child = RegionField()

    def to_internal_value(self, data: Any) -> list[Region | None]:
        one = isinstance(data, list) and all(isinstance(number, (int, float)) for number in data)
        return super().to_internal_value([data] if one else data)


class SearchSerializer(WantedSerializer):
    """Pictures as files or by their URLs, stored assets by their ids; those that are combined, in this order."""

    image = OneOrMore(child=serializers.FileField(allow_empty_file=True), max_length=_MOST_PARTS, default=list)
    url = OneOrMore(
        child=serializers.CharField(max_length=MAX_URL),
        max_length=_MOST_PARTS,
        default=list,
        help_text="Where to fetch pictures; for who is signed in.",
    )
    asset = OneOrMore(child=serializers.IntegerField(min_value=1), max_length=_MOST_PARTS, default=list)
    mode = serializers.ChoiceField(
        ["separate", "combined"], default="separate", help_text="An answer for each, or one for all together."
    )
    weight = OneOrMore(
        child=serializers.FloatField(min_value=-100, max_value=100),
        default=list,
        help_text="With mode = combined: how much each counts, images first, then URLs and assets; below 0 leads away.",
    )
    crop = RegionsField(
        default=list,
        help_text="The region of each to search with, images first, then URLs and assets: x, y, width and height as "
        "fractions of the upright picture's. Empty: the whole picture.",
    )
    turned = serializers.BooleanField(
        default=False, help_text="Find quarter turns and mirror images of the pictures as well."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        count = len(attrs["image"]) + len(attrs["url"]) + len(attrs["asset"])
        if not 1 <= count <= _MOST_PARTS:
            raise serializers.ValidationError(
                f"Give `image`, one file or more, `url`, or `asset`, one id or more; {_MOST_PARTS} together at most."
            )
        for name in ("weight", "crop"):
            if attrs[name] and len(attrs[name]) != count:
                reason = f"Give one for each picture: {count}, not {len(attrs[name])}."
                raise serializers.ValidationError({name: reason})
        if attrs["turned"] and count > 1:
            raise serializers.ValidationError({"turned": "One picture at a time can be turned."})
        if attrs["weight"] and attrs["mode"] != "combined":
            raise serializers.ValidationError({"weight": "Weights are for mode = combined."})
        return attrs


class SearchBody(FiltersSerializer, SearchSerializer):
    """With the filters, for the schema."""


# --- what is answered -------------------------------------------------------------------------------------------


class HowSerializer(serializers.Serializer[How]):
    exact = serializers.BooleanField()
    metric = serializers.CharField()
    index = serializers.CharField(allow_null=True)
    probes = serializers.IntegerField(allow_null=True)
    ef_search = serializers.IntegerField(allow_null=True)
    candidates = serializers.IntegerField(allow_null=True, help_text="Found by a compact code, ranked by the vectors.")
    recall = serializers.FloatField(allow_null=True, help_text="Share of the true nearest found this way, as measured.")
    filters = serializers.ChoiceField(
        ["ranked", "iterated"],
        allow_null=True,
        help_text="Under filters: whether all that pass were ranked, or the index was gone through until k passed.",
    )


class HitSerializer(serializers.Serializer[Hit]):
    rank = serializers.IntegerField()
    similarity = serializers.FloatField()
    distance = serializers.FloatField(help_text="By the metric, as pgvector has it.")
    closer_than = serializers.FloatField(
        allow_null=True, help_text="Share of random pairs of this gallery that are further apart."
    )
    rule = serializers.ChoiceField(["pin", "boost"], allow_null=True, help_text="What put it where it stands.")
    alike = serializers.IntegerField(help_text="With collapse: near-identical assets that it stands for.")
    asset = AssetSerializer()


class TookSerializer(serializers.Serializer[dict[str, float]]):
    encode = serializers.FloatField()
    search = serializers.FloatField()


class AnswerSerializer(serializers.Serializer[Answer]):
    encoder = serializers.CharField()
    search = HowSerializer()
    took_ms = TookSerializer()
    results = HitSerializer(many=True)

    def to_representation(self, instance: Answer) -> dict[str, Any]:
        """What the fields say. Field by field takes a millisecond longer; but for assets, all values are plain."""
        assets = AssetSerializer([hit.asset for hit in instance.results], many=True, context=self.context).data
        return {
            "encoder": instance.encoder,
            "search": vars(instance.search),
            "took_ms": instance.took_ms,
            "results": [_plain(hit) | {"asset": asset} for hit, asset in zip(instance.results, assets, strict=True)],
        }


def _plain(hit: Hit) -> dict[str, Any]:
    return {name: value for name, value in vars(hit).items() if name != "asset"}


# --- views ------------------------------------------------------------------------------------------------------


class SearchView(APIView):
    only_reads = True  # a search changes nothing, although it is a POST
    parser_classes = [MultiPartParser, FormParser, JSONParser]

    @extend_schema(
        summary="Find what looks like a picture",
        request={"multipart/form-data": SearchBody, "application/json": SearchBody},
        responses=AnswerSerializer,
    )
    def post(self, request: Request) -> Response:
        """An answer; a list of answers for several pictures with `mode` = separate."""
        given = SearchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        wanted = _wanted(request, asked, request.data)
        with _fetched(request, asked["url"]) as fetched:
            parts = _parts(request, asked, fetched)
            if asked["mode"] == "combined":
                return _respond(query.like_all(parts, wanted), request)
            answers = query.like_each(parts, wanted)
        return _respond(answers[0] if len(answers) == 1 else answers, request)


class SimilarView(APIView):
    @extend_schema(
        summary="Find what looks like an asset",
        parameters=[WantedSerializer, FiltersSerializer],
        responses=AnswerSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        given = WantedSerializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        asset = get_object_or_404(Asset.objects.visible_to(request.user), pk=pk)
        return _respond(query.like_asset(asset, _wanted(request, given.validated_data, request.query_params)), request)


@contextmanager
def _fetched(request: Request, urls: Sequence[str]) -> Iterator[Sequence[File[bytes]]]:
    """What is at the URLs. Raises Refused; NotAuthenticated for strangers, who could have much fetched in our name."""
    if not urls:
        yield []
        return
    if not request.user.is_authenticated:
        raise NotAuthenticated
    with ExitStack() as open_files:
        with in_turn(), ThreadPoolExecutor(len(urls)) as threads:
            fetched = [open_files.enter_context(file) for file in threads.map(fetch, urls)]
        yield fetched


def _parts(request: Request, asked: dict[str, Any], fetched: Sequence[File[bytes]]) -> list[Part]:
    readable = Asset.objects.visible_to(request.user)
    sources = [*asked["image"], *fetched, *(get_object_or_404(readable, pk=asset_id) for asset_id in asked["asset"])]
    regions = asked["crop"] or [None] * len(sources)
    weights = asked["weight"] or [1.0] * len(sources)
    return [
        Part(Picture(source, region, asked["turned"]), weight)
        for source, region, weight in zip(sources, regions, weights, strict=True)
    ]


def _wanted(request: Request, asked: dict[str, Any], data: Any) -> Wanted:
    return Wanted(
        k=asked["k"],
        among=assets_asked_for(request, data),
        metric=METRICS[asked["metric"]],
        min_similarity=asked["min_similarity"],
        collapse=asked["collapse"],
    )


def _respond(answer: Answer | list[Answer], request: Request) -> Response:
    many = isinstance(answer, list)
    answers = answer if isinstance(answer, list) else [answer]
    Tag.objects.keep_with([hit.asset for one in answers for hit in one.results])
    return Response(AnswerSerializer(answer, many=many, context={"request": request}).data)  # type: ignore[arg-type]


# --- the same picture ---------------------------------------------------------------------------------------------


class MatchSerializer(serializers.Serializer[Match]):
    similarity = serializers.FloatField()
    bits_apart = serializers.IntegerField(help_text="Bits of 64 in which the perceptual hashes differ.")
    asset = AssetSerializer()


class SameSerializer(serializers.Serializer[Any]):
    same_picture = MatchSerializer(many=True, help_text="Re-encoded, resized or slightly cropped, likest first.")


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class CheckBody(serializers.Serializer[Any]):
    file = OneOrMore(child=serializers.FileField(allow_empty_file=True), min_length=1, max_length=_MOST_PARTS)


class CheckedSerializer(SameSerializer):
    filename = serializers.CharField()
    identical = AssetSerializer(allow_null=True, help_text="The asset of the same bytes.")
    error = ErrorSerializer(allow_null=True, help_text="Why it could not be compared.")


class SameView(APIView):
    @extend_schema(summary="Assets that show the same picture in other bytes", responses=SameSerializer)
    def get(self, request: Request, pk: int) -> Response:
        asset = get_object_or_404(Asset.objects.visible_to(request.user), pk=pk)
        matches = same_picture.same_as(Picture(asset), request.user)
        Tag.objects.keep_with([match.asset for match in matches])
        return Response(SameSerializer({"same_picture": matches}, context={"request": request}).data)


class CheckView(APIView):
    parser_classes = [MultiPartParser]

    @extend_schema(
        summary="What is there already of pictures, before they are uploaded",
        request={"multipart/form-data": CheckBody},
        responses=CheckedSerializer(many=True),
    )
    def post(self, request: Request) -> Response:
        """A list with what was found of each picture, in order. Nothing is stored."""
        given = CheckBody(data=request.data)
        given.is_valid(raise_exception=True)
        checked = [_checked(file, request) for file in given.validated_data["file"]]
        Tag.objects.keep_with([asset for one in checked for asset in _assets_of(one)])
        return Response(CheckedSerializer(checked, many=True, context={"request": request}).data)


def _checked(file: File[bytes], request: Request) -> dict[str, Any]:
    picture = Picture(file)
    told: dict[str, Any] = {"filename": file.name, "identical": None, "same_picture": [], "error": None}
    try:
        told["identical"] = same_picture.identical_to(picture, request.user)
        told["same_picture"] = same_picture.same_as(picture, request.user)
    except Refused as refused:
        told["error"] = {"code": refused.code.value, "detail": refused.detail}
    return told


def _assets_of(checked: dict[str, Any]) -> list[Asset]:
    identical = [checked["identical"]] if checked["identical"] else []
    return identical + [match.asset for match in checked["same_picture"]]


# --- status -----------------------------------------------------------------------------------------------------


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


class MeasurementSerializer(serializers.ModelSerializer[Measurement]):
    class Meta:
        model = Measurement
        fields = ["taken", "rows", "kind", "parameters", "recall", "recall_recent", "recall_filtered", "p50_ms"]


class IndexSerializer(serializers.ModelSerializer[IndexBuild]):
    lists = serializers.SerializerMethodField(help_text="Of all groups together, where there are groups.")
    parameters = serializers.SerializerMethodField(help_text="What it was built with.")
    probes = serializers.SerializerMethodField()
    measured = serializers.SerializerMethodField(help_text="The latest measurement, with what it was searched with.")

    class Meta:
        model = IndexBuild
        fields = ["kind", "rows", "lists", "probes", "parameters", "recall", "finished", "measured"]

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_lists(self, build: IndexBuild) -> int | None:
        return build.summary.get("lists")

    def get_parameters(self, build: IndexBuild) -> dict[str, int]:
        return build.summary

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_probes(self, build: IndexBuild) -> int | None:
        latest = build.last_check
        return latest.parameters.get("probes") if latest else None

    @extend_schema_field(MeasurementSerializer(allow_null=True))
    def get_measured(self, build: IndexBuild) -> Any:
        return MeasurementSerializer(build.last_check).data if build.last_check else None


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
