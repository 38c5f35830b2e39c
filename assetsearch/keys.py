"""The keys that do something: a page, and what "?" shows in the dialog."""

from typing import NamedTuple

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gallery.web import Request, respond


class Key(NamedTuple):
    pressed: tuple[str, ...]  # as scripts name them: KeyboardEvent.key
    meaning: str | Promise


_ARROWS = ("ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight")
#: By where they do it. A test holds that every key which a script listens to is here, in its place.
KEYS: tuple[tuple[str | Promise, tuple[Key, ...]], ...] = (
    (
        _("On every page"),
        (
            Key(("?",), _("Show these keys")),
            Key(("/",), _("Search in text")),
            Key(_ARROWS, _("Go from picture to picture; ← or → goes to the first in sight")),
            Key(("Enter",), _("Open what has the focus")),
            Key(("Escape",), _("Close a dialog or a menu")),
        ),
    ),
    (
        _("Where pictures are listed"),
        (
            Key(("x", " "), _("Select it, or no more")),
            Key(("Shift", *_ARROWS), _("Go on selecting from picture to picture")),
            Key(("Ctrl", "a"), _("Select all that are loaded")),
            Key(("Escape",), _("Select none")),
            Key(("Delete",), _("Move what is selected to the trash")),
            Key(("Enter",), _("In the menus of what is selected: tag it, or move it")),
            Key(("ArrowUp", "PageUp", "Home"), _("At the top: fetch the pictures that come before")),
        ),
    ),
    (
        _("Where you search with a picture"),
        (Key(("Escape",), _("Begin anew, where nothing is selected")),),
    ),
    (
        _("In the picture you search with"),
        (
            Key(_ARROWS, _("Draw a region to search with, and move it")),
            Key(("Shift", *_ARROWS), _("Make the region larger or smaller")),
            Key(("Delete", "Backspace", "Escape"), _("Remove the region")),
        ),
    ),
    (
        _("Where tags are typed"),
        (
            Key(("ArrowUp", "ArrowDown"), _("Go through the tags that are offered")),
            Key(("Enter",), _("Take the one that is marked")),
            Key(("Escape",), _("Close the list of them")),
        ),
    ),
    (
        _("On the page of a picture"),
        (Key(("ArrowLeft", "ArrowRight"), _("Turn to the picture before it, or after it")),),
    ),
    (
        _("Where a picture is shown large"),
        (
            Key(("ArrowLeft", "ArrowRight"), _("Turn to the picture before it, or after it")),
            Key(("z",), _("Zoom")),
            Key(("i",), _("Show or hide what is known of it")),
            Key(("c",), _("Compare it with the picture searched with")),
            Key(_ARROWS, _("Move the slider between the two, where it has the focus")),
            Key(("d",), _("Download the original")),
            Key(("Escape",), _("Close it; so does the Back button")),
        ),
    ),
    (
        _("Where encoders are compared"),
        (
            Key(("1",), _("The first is better")),
            Key(("2",), _("The second is better")),
            Key(("3",), _("Both are alike")),
            Key(("n",), _("Go on to another picture")),
            Key(("Escape",), _("Take the picture away")),
        ),
    ),
)
#: As keyboards write them, where that is not what scripts say.
_CAPS: dict[str, str | Promise] = {
    "ArrowLeft": "←", "ArrowUp": "↑", "ArrowDown": "↓", "ArrowRight": "→", "Escape": "Esc", "PageUp": "PgUp",
    " ": _("Space"),
}  # fmt: skip


def keys(request: Request) -> HttpResponse:
    groups = [
        (where, [([_CAPS.get(key, key.capitalize()) for key in pressed], meaning) for pressed, meaning in listed])
        for where, listed in KEYS
    ]
    return respond(request, "keys.html", "_keys.html", {"groups": groups})
