"""No Docker engine is needed: the files are read, and held against each other and against the project."""

import json
import re
import runpy
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import resolve, reverse

from assetsearch import env, postgres
from assetsearch.management.commands import up
from gallery.errors import Code
from gallery.media import send_rendition
from gallery.models import Asset

ROOT = settings.BASE_DIR
#: Variables of others: of Postgres's image, of the model hub's client, of pip, of Python, of django-q2.
FOREIGN = {"POSTGRES_PASSWORD", "HF_HOME", "PIP_EXTRA_INDEX_URL", "PYTHONUNBUFFERED", "Q_CLUSTER_NAME"}
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
APP = {name: service for name, service in SERVICES.items() if service["image"] == "assetsearch"}
NGINX = (ROOT / "docker" / "nginx.conf").read_text()


def instructions():
    """(name, arguments) of each line of the Dockerfile, continued lines joined."""
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def arguments(instruction):
    return [value for name, value in instructions() if name == instruction]


def image_environment():
    return dict(pair.split("=", 1) for line in arguments("ENV") for pair in line.split())


def defaults():
    """{name: default} of each ${name:-default} and ${name-default} in docker-compose.yml."""
    return dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", COMPOSE_TEXT))


def directives(name, text=NGINX):
    return re.findall(rf"^\s*{name}\s+([^;]+);", text, re.MULTILINE)


def location(path):
    return re.search(rf"location {re.escape(path)} \{{(.*?)\n    \}}", NGINX, re.DOTALL)[1]


def mounts(service):
    """{path inside: name of the volume or path outside}."""
    return {inside: outside for outside, inside, *_ in (volume.split(":") for volume in service["volumes"])}


def environment(service):
    return {name: str(value) for name, value in service["environment"].items()}


# --- variables ----------------------------------------------------------------------------------------------


def test_every_variable_given_is_one_that_is_read():
    given = set(image_environment()).union(*(service["environment"] for service in APP.values()), defaults())
    assert given - FOREIGN <= set(env.variables)


@pytest.mark.parametrize("name", ["PORT", "MAX_UPLOAD_MB"])
def test_default_that_stands_in_for_an_unset_variable_is_the_projects_own(name):
    assert defaults()[name] == env.variables[name].default


def test_both_files_build_with_the_same_pytorch_index_unless_told_otherwise():
    name, index = arguments("ARG")[0].split("=", 1)
    assert (name, defaults()[name]) == ("PIP_EXTRA_INDEX_URL", index)
    assert list(APP["web"]["build"]["args"]) == [name]


@pytest.mark.parametrize("service", APP)
def test_variables_in_the_env_file_reach_every_service(service):
    assert APP[service]["env_file"] == [{"path": ".env", "required": False}]


def test_image_and_compose_agree_on_what_both_set():
    image, compose = image_environment(), environment(APP["web"])
    both = image.keys() & compose.keys()
    assert both == {"DATA_DIR", "HF_HOME", "HOST", "PORT"}
    assert {name: image[name] for name in both} == {name: compose[name] for name in both}


def test_health_checks_ask_by_a_name_that_is_always_allowed():
    for check in (arguments("HEALTHCHECK")[0], " ".join(SERVICES["proxy"]["healthcheck"]["test"])):
        assert re.search(r"http://([\w.]+)", check)[1] in settings.ALLOWED_HOSTS


# --- the image ----------------------------------------------------------------------------------------------


def copied():
    return [source for line in arguments("COPY") for source in line.split()[:-1]]


@pytest.mark.parametrize("source", copied())
def test_copied_source_exists_and_is_not_ignored(source):
    assert (ROOT / source).exists()
    ignored = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if rule and not rule.startswith("#") and fnmatch(source, rule.removeprefix("!")):
            ignored = not rule.startswith("!")
    assert not ignored


def test_image_holds_all_that_runs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = [str(folder.relative_to(ROOT)) for folder in settings.TEMPLATES[0]["DIRS"]]
    assert {*project["tool"]["setuptools"]["packages"], *folders, "manage.py"} <= set(copied())


def test_image_runs_as_nobody_special_who_owns_the_data():
    (user,) = arguments("USER")
    assert user not in {"root", "0"}
    prepared = arguments("RUN")[0]
    assert f"useradd --create-home --uid 1000 {user}" in prepared
    assert f'--owner {user} --group {user} "$DATA_DIR" "$HF_HOME"' in prepared
    image = image_environment()
    assert json.loads(arguments("VOLUME")[0]) == [image["DATA_DIR"], image["HF_HOME"]]


def test_image_has_a_python_that_the_project_takes_and_installs_the_lock_file():
    version = re.fullmatch(r"python:3\.(\d+)-slim", arguments("FROM")[0])
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert int(version[1]) >= int(least.removeprefix(">=3."))
    assert any("--requirement requirements.lock" in run for run in arguments("RUN"))


def test_health_check_is_a_program_that_asks_an_address_there_is():
    check = arguments("HEALTHCHECK")[0]
    program, flag, code = json.loads(check.partition("CMD")[2])
    assert (program, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    path = re.search(r"\}(/\w+)\"", code)[1]
    assert resolve(path).url_name == "healthz"


# --- commands -----------------------------------------------------------------------------------------------


def parse(command):
    """The parsed arguments of `python manage.py ...`; refuses what the command does not know."""
    python, manage, name, *rest = command
    assert (python, manage) == ("python", "manage.py")
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(rest)


def test_manage_commands_exist_and_take_their_arguments():
    commands = [service["command"] for service in APP.values() if service["command"][0] == "python"]
    assert len(commands) == 3
    for command in [*commands, json.loads(arguments("CMD")[0])]:
        parse(command)


def test_every_queue_has_a_worker():
    workers = [service for service in APP.values() if "qcluster" in service["command"]]
    served = {worker["environment"].get("Q_CLUSTER_NAME", settings.Q_CLUSTER["name"]) for worker in workers}
    assert len(workers) == len(served)
    assert served == {settings.Q_CLUSTER["name"], *settings.Q_CLUSTER["ALT_CLUSTERS"]}


def started_by_up(service):
    """The words of its command as they read in an image."""
    line = " ".join(service.command)
    return line.replace(f"{sys.executable} -m ", "").replace(sys.executable, "python").replace(f"{ROOT}/", "")


@pytest.mark.parametrize("service", up._services(), ids=lambda service: service.name)
def test_compose_runs_what_make_run_runs(service):
    composed = APP[service.name.replace(" ", "-")]
    assert " ".join(composed["command"]) == started_by_up(service)
    added = composed["environment"].items() - APP["web"]["environment"].items()
    assert dict(added) == service.environment


def test_nothing_serves_before_it_is_prepared():
    assert SERVICES["prepare"]["depends_on"]["db"] == {"condition": "service_healthy"}
    for name in ("web", "worker", "bulk-worker"):
        assert SERVICES[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}
    assert SERVICES["proxy"]["depends_on"]["web"] == {"condition": "service_healthy"}


def test_only_the_web_service_has_the_images_health_check():
    unchecked = {name for name, service in APP.items() if service.get("healthcheck") == {"disable": True}}
    assert unchecked == APP.keys() - {"web"}


# --- the database -------------------------------------------------------------------------------------------


def test_database_url_names_the_database_of_the_compose_file():
    url = environment(APP["web"])["DATABASE_URL"]
    database = SERVICES["db"]["environment"]
    password = re.search(r"\$\{[^}]*\}", url)[0]
    parts = urlsplit(url.replace(password, "secret"))
    assert (parts.username, parts.path) == (database["POSTGRES_USER"], f"/{database['POSTGRES_DB']}")
    assert (parts.hostname, parts.port) == ("db", 5432)
    assert password == database["POSTGRES_PASSWORD"]


def test_database_has_the_settings_of_the_embedded_one():
    given = dict(word.removeprefix("-c").split("=") for word in SERVICES["db"]["command"][1:])
    own = {"listen_addresses", "shared_buffers"}  # the latter by the memory that there is
    assert {name: value for name, value in given.items() if name not in own} == {
        name: value for name, value in postgres._SETTINGS.items() if name not in own
    }
    assert "shared_buffers" in given


def test_database_is_kept_where_postgres_18_keeps_it():
    assert SERVICES["db"]["image"] == "pgvector/pgvector:pg18"
    assert mounts(SERVICES["db"]) == {"/var/lib/postgresql": "db"}


# --- the proxy ----------------------------------------------------------------------------------------------


def test_ports_agree():
    web = urlsplit(directives(r"set \$web")[0])
    assert (web.hostname, web.port) == ("web", int(environment(APP["web"])["PORT"]))
    assert arguments("EXPOSE") == [str(web.port)]
    assert set(directives("proxy_pass")) == {"$web"}
    inside = SERVICES["proxy"]["ports"][0].rpartition(":")[2]
    assert directives("listen") == [inside, f"[::]:{inside}"]


@pytest.mark.parametrize("service", SERVICES)
def test_volumes_are_declared_and_files_mounted_exist(service):
    for outside in mounts(SERVICES[service]).values():
        assert (ROOT / outside).is_file() if outside.startswith(".") else outside in COMPOSE["volumes"]


@pytest.mark.parametrize("service", APP)
def test_data_and_models_are_on_volumes(service):
    given = environment(APP[service])
    assert mounts(APP[service]) == {given["DATA_DIR"]: "data", given["HF_HOME"]: "models"}


def test_proxy_sends_the_file_that_the_web_server_points_to(settings):
    app = environment(APP["web"])
    settings.MEDIA_REDIRECT = app["MEDIA_REDIRECT"]
    response = send_rendition(Asset(preview="renditions/ab/cd/é 1.jpg").preview)
    internal = location(app["MEDIA_REDIRECT"])
    assert "internal;" in internal
    # nginx decodes the address, then puts the alias in the place of the location
    assert response["X-Accel-Redirect"] == f"{app['MEDIA_REDIRECT']}renditions/ab/cd/%C3%A9%201.jpg"
    media = PurePosixPath(app["DATA_DIR"]) / settings.MEDIA_ROOT.relative_to(settings.DATA_DIR)
    assert directives("alias", internal) == [f"{media}/"]
    assert mounts(SERVICES["proxy"])[app["DATA_DIR"]] == mounts(APP["web"])[app["DATA_DIR"]]
    assert "data:/data:ro" in SERVICES["proxy"]["volumes"]


def test_proxy_adds_the_headers_that_an_internal_redirect_drops(settings):
    settings.MEDIA_REDIRECT = "/_media/"
    response = send_rendition(Asset(preview="x.jpg").preview)
    kept_by_nginx = {"Content-Type", "Content-Disposition", "Cache-Control", "X-Accel-Redirect"}
    added = re.findall(r'add_header (\S+) "(.+)" always;', location("/_media/"))
    assert dict(added) == {name: value for name, value in response.items() if name not in kept_by_nginx}


IMPORTS = location("~ ^/(import|api/v1/imports)/$")


@pytest.mark.parametrize(("name", "where"), [("MAX_UPLOAD_MB", NGINX.replace(IMPORTS, "")), ("MAX_IMPORT_MB", IMPORTS)])
def test_proxy_takes_as_large_a_file_as_the_web_server(name, where):
    megabytes = env.variables[name].default
    assert SERVICES["proxy"]["environment"][name] == f"${{{name}:-{megabytes}}}"
    (limit,) = directives("client_max_body_size", where.replace(f"${{{name}}}", megabytes))
    number, unit = int(limit[:-1]), limit[-1]
    assert unit == "M"
    # the limit, and a megabyte for the form; but no more than a tenth above it
    assert int(megabytes) * 1_000_000 + 1_000_000 < number * 1024**2 < int(megabytes) * 1_100_000


def test_archives_may_be_as_large_where_they_are_sent_to():
    pattern = re.search(r"location ~ (\S+) \{", NGINX)[1]
    for path in (reverse("gallery:begin_import"), reverse("api:import-list")):
        assert re.search(pattern, path)


@pytest.mark.parametrize(
    ("name", "said", "where"),
    [
        ("MAX_UPLOAD_MB", "@too_large", NGINX.replace(IMPORTS, "")),
        ("MAX_IMPORT_MB", "@too_large_to_import", IMPORTS),
    ],
)
def test_proxy_refuses_what_is_too_large_with_the_apis_own_code(name, said, where):
    body = re.search(r"return 413 '(.+)';", location(said))[1]
    assert json.loads(body.replace(f"${{{name}}}", "200"))["code"] == Code.TOO_LARGE
    assert directives("error_page", where) == [f"413 {said}"]


def test_only_the_limits_are_filled_in_when_the_proxy_starts():
    pattern = SERVICES["proxy"]["environment"]["NGINX_ENVSUBST_FILTER"].replace("$$", "$")
    limits = ["MAX_UPLOAD_MB", "MAX_IMPORT_MB"]
    assert [name for name in (*limits, "HOSTNAME", "PATH") if re.search(pattern, name)] == limits
    assert set(re.findall(r"\$\{(\w+)\}", NGINX)) == set(limits)


def test_proxy_collects_requests_so_that_slow_clients_hold_no_thread():
    assert directives("proxy_request_buffering") == []


def test_proxy_waits_as_long_as_gunicorn():
    gunicorn = runpy.run_path(str(ROOT / "assetsearch" / "gunicorn.py"))
    assert directives("proxy_read_timeout") == [f"{gunicorn['timeout']}s"]


def test_proxy_tells_the_web_server_who_asked_and_how():
    told = dict(line.split(maxsplit=1) for line in directives("proxy_set_header"))
    assert told["Host"] == "$http_host"
    assert told["X-Forwarded-For"] == "$proxy_add_x_forwarded_for"
    assert told["X-Forwarded-Proto"] == "$forwarded_proto"
