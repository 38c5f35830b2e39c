"""For probes: is the process alive, and can it serve."""

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from search.models import Encoder


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    missing = _missing()
    if missing:
        return JsonResponse({"status": "unavailable", "missing": missing}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})


def _missing() -> list[str]:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return ["migrations: run `manage.py prepare`"]
        if Encoder.objects.active() is None:
            return ["encoder: run `manage.py prepare`"]
    except (Error, RuntimeError):  # the latter: the embedded server did not start
        return ["database"]
    return [] if settings.MEDIA_ROOT.is_dir() else ["media folder"]
