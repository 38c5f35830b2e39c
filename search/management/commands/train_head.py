import hashlib
from argparse import ArgumentParser
from itertools import chain, count
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from tqdm import tqdm

from search import heads, pipeline, stored, switching, tasks
from search.evaluation import problems, trial
from search.evaluation.run import Outcome
from search.evaluation.trial import Trial
from search.models import HEAD_SIGN, Encoder, EncoderQuerySet, Head
from search.switching import CannotSwitch

_TOLD = ("precision@1", "precision@10", "map", "map@10")
#: Vectors projected and stored at a time.
_AT_ONCE = 500


class Command(BaseCommand):
    help = (
        "Learn a projection of an encoder's vectors by which assets of one collection, or of one tag, come closer "
        "together. It is fitted to half of the assets of each and tried on the others. If it finds better there, it "
        "is kept as a new encoder, with vectors of the whole gallery, to be activated like any other."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--labels", choices=problems.LABELS, required=True, help="What makes assets alike.")
        parser.add_argument("--encoder", metavar="NAME", help="What to learn on top of; by default what serves.")
        parser.add_argument("--loss", choices=heads.LOSSES, default=heads.LOSSES[0])
        parser.add_argument("--dimensions", type=int, default=heads.DIMENSIONS, help="Of the projected vectors.")
        parser.add_argument("--seed", type=int, default=0, help="Decides which half is held out.")

    def handle(self, *args: Any, **options: Any) -> None:
        row = self._row(options["encoder"])
        tried = self._try(row, options)
        self._tell(tried)
        if not tried.wins:
            self.stdout.write("It finds no better than without it, and is not kept.")
            return
        try:
            made = _keep(row, tried, options)
            self._project(row, made)
            switching.fill(made)  # what the base has no vector of, and what comes
        except CannotSwitch as error:
            raise CommandError(str(error)) from None
        tasks.queue_pending()
        named = switching.called(made)
        self.stdout.write(self.style.SUCCESS(f"Kept as {made}. To let it serve: manage.py activate {named}"))
        self._tell_of_others(row, made, options["labels"])

    def _row(self, name: str | None) -> Encoder:
        try:
            row = switching.chosen(name)
        except CannotSwitch as error:
            raise CommandError(str(error)) from None
        if row.has_head:
            raise CommandError(f"{row} has a head already. Learn on top of {row.head.base}.")
        return row

    def _try(self, row: Encoder, options: dict[str, Any]) -> Trial:
        chosen = {name: options[name] for name in ("loss", "dimensions", "seed")}
        if not 1 < chosen["dimensions"] <= row.dimensions:
            raise CommandError(f"--dimensions is from 2 to {row.dimensions}.")
        try:
            return trial.try_head(problems.of_gallery(row, options["labels"]), row.name, **chosen)
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _tell(self, tried: Trial) -> None:
        self.stdout.write(f"Fitted to {tried.fitted_to} assets, tried on {len(tried.before.answered)} others:")
        for outcome in (tried.before, tried.after):
            self.stdout.write(f"  {outcome.by.encoder:40}" + "".join(f"  {_figure(outcome, name)}" for name in _TOLD))
        gain = tried.gain
        self.stdout.write(f"  {trial.DECIDES} {gain.difference:+.3f}, p = {gain.p_value:.4f} over {gain.pairs} queries")

    def _tell_of_others(self, base: Encoder, made: Encoder, labels: str) -> None:
        """Which is better, nobody can tell from this trial: they may be fitted to what this one was tried on."""
        others = _learned(base, labels).exclude(pk=made.pk).exclude(work=Encoder.Work.RETIRE)
        if named := ", ".join(switching.called(other) for other in others.order_by("pk")):
            self.stdout.write(
                f"Also kept, learned from the same: {named}. Each takes room, and time with every upload. To delete "
                "one: manage.py retire NAME"
            )

    def _project(self, base: Encoder, made: Encoder) -> None:
        """What the base has vectors of needs no picture decoded again."""
        matrix = made.head.projection
        with tqdm(total=stored.count(base), unit="asset", desc=made.name, disable=None) as bar:
            for ids, vectors in stored.pages(base):
                for start in range(0, len(ids), _AT_ONCE):
                    some = ids[start : start + _AT_ONCE].tolist()
                    projected = dict(zip(some, heads.apply(matrix, vectors[start : start + _AT_ONCE]), strict=True))
                    claimed = pipeline.claim(some, made)
                    pipeline.store(made, {asset_id: projected[asset_id] for asset_id in claimed})
                    bar.update(len(some))


def _figure(outcome: Outcome, name: str) -> str:
    interval = outcome.intervals[name]
    return f"{name} {interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _keep(base: Encoder, tried: Trial, options: dict[str, Any]) -> Encoder:
    """A new encoder, or the one that has this very head. Raises CannotSwitch where the base is being retired."""
    matrix = tried.matrix.tobytes()
    revision = hashlib.sha256(matrix).hexdigest()[:40]
    with transaction.atomic():
        # one at a time, so that no two take the same name
        locked = Encoder.objects.select_for_update().filter(pk=base.pk).first()
        if locked is None or locked.work == Encoder.Work.RETIRE:
            raise CannotSwitch(f"{base} is being retired.")
        same = _learned(base, options["labels"]).filter(revision=revision).first()
        made = same or Encoder.objects.create(
            name=_free_name(base, options["labels"]),
            revision=revision,
            dimensions=tried.matrix.shape[1],
            preprocessing=base.preprocessing,
        )
        learned = {
            **{name: options[name] for name in ("labels", "loss", "seed")},
            "fitted_to": tried.fitted_to,
            "before": tried.before.summary.overall[trial.DECIDES],
            "after": tried.after.summary.overall[trial.DECIDES],
            "p_value": tried.gain.p_value,
        }
        Head.objects.update_or_create(encoder=made, defaults={"base": base, "matrix": matrix, "learned": learned})
    return made


def _learned(base: Encoder, labels: str) -> EncoderQuerySet:
    return Encoder.objects.filter(head__base=base, head__learned__labels=labels)


def _free_name(base: Encoder, labels: str) -> str:
    """With a number where another has the name: of two with one name, commands ask for the row's number."""
    first = f"{base.name}{HEAD_SIGN}{labels}"
    taken = set(Encoder.objects.filter(name__startswith=first).values_list("name", flat=True))
    return next(name for name in chain([first], (f"{first}-{number}" for number in count(2))) if name not in taken)
