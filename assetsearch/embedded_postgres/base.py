"""Django's Postgres backend over the embedded server, which it starts at the first connection."""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from assetsearch import postgres


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        postgres.hold(settings.DATA_DIR)
        return super().get_new_connection(conn_params)
