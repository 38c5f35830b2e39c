import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from assetsearch import env


def check(*options, **variables):
    """`manage.py check` with the variables set."""
    return subprocess.run(
        [sys.executable, "manage.py", "check", *options],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "assetsearch.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def given(monkeypatch):
    """given(value): the environment variable VALUE; what is read of it is forgotten afterwards."""
    monkeypatch.setattr(env, "variables", {})
    return lambda value: monkeypatch.setenv("VALUE", value)


def read_text():
    return env.text("VALUE", "default", "")


def read_flag():
    return env.flag("VALUE", default=False, meaning="")


def read_integer():
    return env.integer("VALUE", 5, "", minimum=2)


def read_fraction():
    return env.fraction("VALUE", 0.5, "")


def read_path():
    return env.path("VALUE", None, "", shown="somewhere")


def read_words():
    return env.words("VALUE", ["a", "b"], "")


def test_behind_https_nothing_is_left_to_secure(tmp_path):
    """Django's own list of what to set before a site is reached by others."""
    deployed = check("--deploy", "--fail-level", "WARNING", BEHIND_HTTPS="true", DATA_DIR=str(tmp_path))
    assert deployed.returncode == 0, deployed.stderr
    over_http = check("--deploy", "--fail-level", "WARNING", DATA_DIR=str(tmp_path))
    assert "security.W012" in over_http.stderr  # a cookie of sessions that travels unencrypted


def test_typo_stops_the_start_and_is_named(tmp_path):
    stopped = check(PUBLIC_READ="ture", DATA_DIR=str(tmp_path))
    assert stopped.returncode != 0
    assert "PUBLIC_READ='ture' does not fit: say true or false." in stopped.stderr


def test_database_that_is_not_postgres_stops_the_start_and_is_named(tmp_path):
    stopped = check(DATABASE_URL="sqlite:///db.sqlite3", DATA_DIR=str(tmp_path))
    assert stopped.returncode != 0
    assert "DATABASE_URL does not fit" in stopped.stderr


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (read_text, "x y", "x y"),
        (read_flag, "true", True),
        (read_flag, "YES", True),
        (read_flag, "1", True),
        (read_flag, "on", True),
        (read_flag, "false", False),
        (read_flag, "No", False),
        (read_flag, "0", False),
        (read_flag, "off", False),
        (read_integer, "2", 2),
        (read_integer, " 7 ", 7),
        (read_fraction, "0.98", 0.98),
        (read_fraction, "1", 1.0),
        (read_path, "~", Path.home()),
        (read_path, "/srv/../data", Path("/data")),
        (read_words, "x", ["x"]),
        (read_words, " x , y,, ", ["x", "y"]),
    ],
)
def test_value_that_fits_is_read(given, read, value, expected):
    given(value)
    assert read() == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (read_flag, "ture"),
        (read_flag, "2"),
        (read_integer, "1"),
        (read_integer, "-3"),
        (read_integer, "2.5"),
        (read_integer, "many"),
        (read_fraction, "0"),
        (read_fraction, "1.01"),
        (read_fraction, "98%"),
        (read_fraction, "nan"),
    ],
)
def test_value_that_does_not_fit_is_refused_by_the_variables_name(given, read, value):
    given(value)
    with pytest.raises(ImproperlyConfigured, match=f"VALUE='{value}' does not fit"):
        read()


@pytest.mark.parametrize(
    ("read", "default", "shown"),
    [
        (read_text, "default", "default"),
        (read_flag, False, "false"),
        (read_integer, 5, "5"),
        (read_fraction, 0.5, "0.5"),
        (read_path, None, "somewhere"),
        (read_words, ["a", "b"], "a,b"),
    ],
)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_unset_or_empty_means_the_default_which_is_recorded(given, read, default, shown, value):
    if value is not None:
        given(value)
    assert read() == default
    assert env.variables["VALUE"].default == shown


def test_every_variable_says_what_it_means():
    assert [name for name, variable in env.variables.items() if not variable.meaning.endswith((".", "`."))] == []
