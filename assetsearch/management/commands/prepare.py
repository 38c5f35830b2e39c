import secrets
import textwrap
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from django.utils.translation import gettext_noop
from django_q.models import Schedule

from search import encoders
from search.encoders import EncoderUnavailable
from search.models import Encoder

BUILT_IN = "descriptor"
#: What workers do by themselves, and every how many minutes.
SCHEDULE = {
    gettext_noop("sweep"): ("search.tasks.sweep", 1),
    gettext_noop("sweep imports"): ("gallery.tasks.sweep_imports", 1),
    gettext_noop("sweep trash"): ("gallery.tasks.sweep_trash", 1),
    gettext_noop("forget query pictures"): ("search.tasks.forget_query_pictures", 10),
    gettext_noop("sweep files"): ("gallery.integrity.sweep", 20),
}


class Command(BaseCommand):
    help = "Make everything ready to serve: tables, the first admin, an encoder, the schedule. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        self._make_first_admin()
        self._make_schedule()
        self._ready_encoder()

    def _make_first_admin(self) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(12)
        User.objects.create_superuser("admin", password=password)
        if settings.ADMIN_PASSWORD:
            self.stdout.write("The first user is admin, with the password from ADMIN_PASSWORD.")
        else:
            self.stdout.write(f"The first user is admin, the password: {password}  (shown this once; keep it)")

    def _make_schedule(self) -> None:
        for name, (func, minutes) in SCHEDULE.items():
            every = {"schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1}
            Schedule.objects.update_or_create(name=name, defaults={"func": func, "cluster": "bulk", **every})

    def _ready_encoder(self) -> None:
        serving = Encoder.objects.active()
        if serving is None:
            self._choose_encoder()
        elif serving.name != settings.ENCODER:
            self._say(
                f"Searches are served by the encoder {serving.name}, while ENCODER names {settings.ENCODER}. "
                f"To change over, run: manage.py embed --encoder {settings.ENCODER}, then manage.py activate "
                f"{settings.ENCODER}"
            )

    def _choose_encoder(self) -> None:
        try:
            wanted = encoders.spec(settings.ENCODER)
        except LookupError as error:
            raise CommandError(f"ENCODER={settings.ENCODER!r} does not fit: {error}") from None
        try:
            self.stdout.write(f"Loading the encoder {wanted.name}; on first use its weights are downloaded.")
            encoders.load(wanted.name)
        except EncoderUnavailable as error:
            self._say(
                f"The encoder {wanted.name} cannot be used: {error.reason} {error.remedy} "
                f"Until then the built-in encoder, {BUILT_IN}, serves: it needs no weights, and compares outlines, "
                f"colour and texture, not meaning. When {wanted.name} can be had, bring it in with: "
                f"manage.py embed --encoder {wanted.name}, then manage.py activate {wanted.name}"
            )
            wanted = encoders.spec(BUILT_IN)
        Encoder.objects.for_spec(wanted).activate()

    def _say(self, paragraph: str) -> None:
        lines = textwrap.wrap(paragraph, 100, break_long_words=False, break_on_hyphens=False)
        self.stdout.write("\n" + "\n".join(lines) + "\n")
