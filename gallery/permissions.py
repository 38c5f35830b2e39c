"""Who may do what through the API."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # it imports the classes that the settings name, this module's among them
    from rest_framework.views import APIView


class ReadersReadOwnersWrite(BasePermission):
    """Signed-in people read and upload, owners and staff change; everyone reads where PUBLIC_READ says so."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        reading = request.method in SAFE_METHODS or getattr(view, "only_reads", False)
        return bool(request.user.is_authenticated or (settings.PUBLIC_READ and reading))

    def has_object_permission(self, request: Request, view: "APIView", obj: Any) -> bool:
        return request.method in SAFE_METHODS or bool(obj.may_be_edited_by(request.user))
