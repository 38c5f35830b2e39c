"""A model's files: in MODEL_DIR where that is set, else in the hub's cache, else fetched; none damaged."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from search.encoders import hub
from search.encoders.base import EncoderUnavailable
from search.encoders.hub import HubFile

logger = logging.getLogger(__name__)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
COMMIT = re.compile(r"[0-9a-f]{40}")


def locate(encoder: str, repository: str, revision: str, model_dir: Path | None) -> Path:
    """The folder that holds config.json and model.safetensors, both whole. Raises EncoderUnavailable."""
    try:
        if model_dir is not None:
            return _supplied(model_dir, encoder, repository)
        config, _ = (_whole(HubFile(repository, revision, name)) for name in (CONFIG, WEIGHTS))
    except OSError as error:
        reason = gettext_noop("The files of %(encoder)s cannot be read: %(error)s.")
        told = {"encoder": encoder, "error": error}
        raise EncoderUnavailable(reason % told, gettext_noop("Grant access.")) from error
    return config.parent


def is_commit(revision: str) -> bool:
    return COMMIT.fullmatch(revision) is not None


def commit(repository: str, branch: str) -> str:
    """The commit at which the branch stood when first asked for; kept in the hub's cache. Raises EncoderUnavailable."""
    return hub.fetch(HubFile(repository, branch, CONFIG)).parent.name


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
    return config


def unusable(place: Path, what: str) -> EncoderUnavailable:
    first_line = what.strip().partition("\n")[0]
    return EncoderUnavailable(
        gettext_noop("%(place)s cannot be used: %(what)s.") % {"place": place, "what": first_line},
        gettext_noop("Delete it, or replace it with the published file."),
    )


def damage(path: Path) -> str:
    """What is wrong with a file; empty where nothing is. Reads all of a file whose SHA-256 is known."""
    return _config_damage(path) if path.name == CONFIG else _weights_damage(path)


def _supplied(model_dir: Path, encoder: str, repository: str) -> Path:
    """MODEL_DIR/<encoder>, MODEL_DIR/<owner>/<name> or MODEL_DIR: the first that has a config.json."""
    folders = (model_dir / encoder, model_dir / repository, model_dir)
    found = next((folder for folder in folders if (folder / CONFIG).is_file()), None)
    if found is None:
        named = {"config": CONFIG, "weights": WEIGHTS, "repository": repository, "folder": folders[0]}
        missing = gettext_noop("MODEL_DIR has no %(config)s of %(encoder)s: not in %(folders)s.")
        raise EncoderUnavailable(
            missing % {"config": CONFIG, "encoder": encoder, "folders": ", ".join(map(str, folders))},
            gettext_noop("Put %(config)s and %(weights)s of %(repository)s into %(folder)s.") % named,
        )
    if not (found / WEIGHTS).is_file():
        named = {"config": CONFIG, "weights": WEIGHTS, "repository": repository, "folder": found}
        raise EncoderUnavailable(
            gettext_noop("%(folder)s has no %(weights)s.") % named,
            gettext_noop("Put %(weights)s of %(repository)s beside its %(config)s.") % named,
        )
    for path in (found / CONFIG, found / WEIGHTS):
        if wrong := damage(path):
            raise unusable(path, wrong)
    return found


def _whole(file: HubFile) -> Path:
    """The file in the hub's cache; fetched where it is missing, and again where it is damaged."""
    path = hub.fetch(file)
    wrong = damage(path)
    if not wrong:
        return path
    logger.warning("%s is damaged (%s) and is fetched again.", path, wrong)
    try:
        hub.forget(path)
        path = hub.fetch(file)
    except (EncoderUnavailable, OSError) as error:
        reason = gettext_noop("%(path)s is damaged (%(wrong)s), and could not be fetched again: %(error)s")
        raise EncoderUnavailable(
            reason % {"path": path, "wrong": wrong, "error": error},
            gettext_noop("Delete %(path)s and start again when the hub can be reached.") % {"path": path},
        ) from error
    if wrong := damage(path):
        raise unusable(path, wrong)
    return path


def _config_damage(path: Path) -> str:
    try:
        return "" if isinstance(json.loads(path.read_bytes()), dict) else "not a JSON object"
    except ValueError as error:
        return f"not JSON: {error}"


def _weights_damage(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    if not hub.is_as_named(path, path.resolve().name):
        return "its content is not what was published"
    try:
        with safe_open(path, framework="pt"):
            return ""
    except SafetensorError as error:
        return str(error)
