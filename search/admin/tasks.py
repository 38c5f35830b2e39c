"""django-q2's tasks, whose names the database keeps in English, in the language of whoever looks at them."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_q.admin import FailAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, Schedule, Success

admin.site.unregister([Schedule, Success, Failure])


class _GroupFilter(admin.AllValuesFieldListFilter):
    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": _told(str(choice["display"]))}


def _told(name: str | None) -> str:
    return gettext(name) if name else "-"


class _Grouped:
    """Of what is done by schedule, the name of the schedule is that of the group of tasks."""

    list_filter = (("group", _GroupFilter), "cluster")

    @admin.display(description=_("group"), ordering="group")
    def grouped(self, task: Success | Failure) -> str:
        return _told(task.group)


@admin.register(Schedule)
class TimetableAdmin(ScheduleAdmin):  # type: ignore[misc]  # django-q2 has no types
    list_display = ["named" if name == "name" else name for name in ScheduleAdmin.list_display]
    list_display_links = ["id", "named"]

    @admin.display(description=_("name"), ordering="name")
    def named(self, schedule: Schedule) -> str:
        return _told(schedule.name)


@admin.register(Success)
class DoneAdmin(_Grouped, TaskAdmin):  # type: ignore[misc]
    list_display = ["grouped" if name == "group" else name for name in TaskAdmin.list_display]


@admin.register(Failure)
class UndoneAdmin(_Grouped, FailAdmin):  # type: ignore[misc]
    list_display = ["grouped" if name == "group" else name for name in FailAdmin.list_display]
