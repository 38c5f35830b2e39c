"""What search adds to the admin of assets."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gallery.admin import AssetAdmin
from gallery.models import Asset
from search import pipeline, tasks
from search.admin.base import ids
from search.models import Encoder

admin.site.unregister(Asset)


@admin.register(Asset)
class SearchableAssetAdmin(AssetAdmin):
    actions = [*(AssetAdmin.actions or []), "embed_again"]

    @admin.action(description=_("Embed selected assets again"), permissions=["change"])
    def embed_again(self, request: HttpRequest, assets: QuerySet[Asset]) -> None:
        row = Encoder.objects.active()
        if row is None:
            self.message_user(request, _("No encoder serves yet. Run manage.py prepare."), messages.ERROR)
            return
        pipeline.retry(ids(assets, "pk"), row)
        tasks.queue_pending()
        self.message_user(
            request, gettext("%(encoder)s embeds the selected assets again.") % {"encoder": row}, messages.SUCCESS
        )
