"""What the API has besides assets and searches."""

from threading import Lock
from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView


class TokenThrottle(AnonRateThrottle):
    """Slow for whoever guesses passwords."""

    scope = "token"


class TokenView(ObtainAuthToken):
    """A token for a user name and a password, for the header `Authorization: Token ...`."""

    authentication_classes = []  # who is signed in already may guess others' passwords no faster
    permission_classes = [AllowAny]
    throttle_classes = [TokenThrottle]


class SchemaView(SpectacularAPIView):
    """Written for one at a time: what drf-spectacular loads as it first writes one, two threads cannot load at once."""

    _writing = Lock()

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with self._writing:
            return super().dispatch(*args, **kwargs)


@extend_schema(exclude=True)
class NothingHere(APIView):
    """An address that means nothing is answered as every error of the API is, not in HTML."""

    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404
