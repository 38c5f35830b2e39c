from django.contrib.admin import apps

from assetsearch import names


class OverviewAdmin(apps.AdminConfig):
    default = False  # for this package, which is an app of its own
    default_site = "assetsearch.admin.Site"

    def ready(self) -> None:
        names.translate()
        super().ready()
