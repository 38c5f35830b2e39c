"""Simplified Chinese: what is translated says the same, is compiled, and reaches people."""

import re
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django.utils.translation import override
from django_q.models import Task

from gallery.errors import Code, Refused
from gallery.uploads import store_upload
from search import kinds
from tests import messages
from tests.product import ROOT
from tests.templates_text import unmarked

TEMPLATES = ROOT / "templates"
#: What `manage.py evaluate` writes, beside JSON of the same words.
IN_ENGLISH = {"evaluation.html"}
DOMAINS = ["django", "djangojs"]
#: In a script, but for what only developers are told.
SENTENCE = re.compile(r"""(?<!Error\()["'`]([A-Z][a-z]+ [a-z][^"'`]*)["'`]""")
VALUE = re.compile(r"%\(\w+\)[sd]")


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_text_of_the_sources_is_translated(domain):
    kept, extracted = messages.kept(domain), messages.extracted(domain)
    assert {text(message) for message in extracted} == {text(message) for message in kept}, "make messages"
    assert messages.untranslated(kept) == []


def text(message):
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


def test_no_text_is_marked_where_it_is_not_looked_for():
    """Within an f-string."""
    sources = [path for package in ("assetsearch", "gallery", "search") for path in (ROOT / package).rglob("*.py")]
    assert [path for path in sources if re.search(r"\{n?(_|gettext)\(['\"]", path.read_text())] == []


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_template_has_no_words_of_one_language(path):
    assert path.name in IN_ENGLISH or unmarked(path) == []


def test_scripts_have_no_words_of_one_language():
    marked = messages.extracted("djangojs")
    found = {
        words
        for path in (ROOT / "frontend/src/js").rglob("*.js")
        for line in path.read_text().splitlines()
        if not line.lstrip().startswith(("//", "*", "/**"))
        for words in SENTENCE.findall(line)
    }
    assert {words for words in found if words not in marked} == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_translations_name_the_values_of_their_texts(domain):
    for message in messages.kept(domain):
        if not message.id:
            continue
        texts = [message.id] if isinstance(message.id, str) else list(message.id)
        named = set(VALUE.findall(" ".join(texts)))
        for translation in messages.strings(message):
            assert set(VALUE.findall(translation)) <= named, texts
            assert set(VALUE.findall(translation)) >= set(VALUE.findall(texts[-1])), texts


@pytest.mark.parametrize("domain", DOMAINS)
def test_compiled_catalogues_are_those_of_the_texts(domain):
    assert messages.path_of(domain, ".mo").read_bytes() == messages.compiled(messages.kept(domain)), "make messages"


def test_page_is_in_the_language_asked_for(user_client):
    page = user_client.get("/collections/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).content.decode()
    assert '<html lang="zh-hans"' in page
    assert "收藏集" in page


def test_refusal_is_told_in_the_language_asked_for_and_logged_in_english():
    refused = Refused(Code.TOO_LARGE, "The file is too large; at most %(most)s MB are taken.", {"most": 100})
    with override("zh-hans"):
        assert refused.detail == "文件过大；最多接收 100 MB。"  # noqa: RUF001
        assert str(refused) == "The file is too large; at most 100 MB are taken."
    assert refused.detail == str(refused)


def test_formats_are_listed_in_the_language_asked_for(user):
    with pytest.raises(Refused) as raised:
        store_upload(SimpleUploadedFile("a.jpg", b"this is no picture"), user)
    with override("zh-hans"):
        assert "JPEG 2000 或 DICOM" in raised.value.detail
        assert "JPEG 2000 or DICOM" in str(raised.value)


def test_api_tells_refusals_in_the_language_asked_for(api):
    answer = api.post("/api/v1/search/", {}, format="multipart", headers={"Accept-Language": "zh-CN"})
    assert answer.status_code == 400
    assert answer["Content-Language"] == "zh-hans"


CHINESE = re.compile(r"[\u4e00-\u9fff]")
MEASURE = re.compile(r"[a-z]+@\d+")
#: What everybody calls it so.
SAME = {"ID", "SHA-256", *kinds.NAMES}


def shown_in_admin(model_admin):
    """What a model, its fields, columns, filters and actions are called, and what is said beside them."""
    model, meta = model_admin.model, model_admin.opts
    yield from (meta.app_config.verbose_name, meta.verbose_name, meta.verbose_name_plural)
    for field in [*meta.fields, *meta.many_to_many]:
        yield from (field.verbose_name, field.help_text, *(label for _, label in field.flatchoices))
    for name in [*model_admin.list_display, *(model_admin.fields or []), *model_admin.readonly_fields]:
        yield label_for_field(name, model, model_admin)
    yield from (one.title for one in model_admin.list_filter if isinstance(one, type))
    yield from (description for _, _, description in model_admin._get_base_actions())
    yield model_admin.search_help_text or ""


def test_admin_names_nothing_in_english():
    with override("zh-hans"):
        for model, model_admin in admin.site._registry.items():
            told = {str(text) for text in shown_in_admin(model_admin)} - SAME - {""}
            assert [text for text in told if not (CHINESE.search(text) or MEASURE.fullmatch(text))] == [], model


def test_names_of_models_are_those_of_migrations_where_no_language_is_chosen():
    """The database keeps permissions by them, and knows no language."""
    assert {str(model._meta.verbose_name) for model in admin.site._registry} >= {"asset", "index build", "user"}


def admin_in_chinese(staff_client: Client, path: str) -> str:
    return staff_client.get(f"/admin/{path}", headers={"Accept-Language": "zh-CN"}).content.decode()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("gallery/asset/", ["状态", "不在回收站中", "将所选素材加入收藏集"]),
        ("search/rule/add/", ["加权值", "相似度的增加值"]),
        ("search/encoder/", ["维数", "张/秒"]),
        ("django_q/schedule/", ["后台任务", "计划任务"]),
        ("auth/group/add/", ["图库 | 素材 | 可以添加素材", "可以查看编码器"]),
        ("", ["最近一天每小时的图片数", "索引构建"]),
    ],
)
def test_admin_is_in_the_language_asked_for(staff_client, encoder, path, told):
    page = admin_in_chinese(staff_client, path)
    assert [words for words in told if words not in page] == []


def test_permissions_of_a_user_are_in_the_language_asked_for_and_others_as_they_are(staff_client, user):
    users = ContentType.objects.get_for_model(User)
    for codename in ("fly", "view_all"):  # what somebody's own code asks for
        Permission.objects.create(name=f"Can {codename}", codename=codename, content_type=users)
    page = admin_in_chinese(staff_client, f"auth/user/{user.pk}/change/")
    assert "图库 | 素材 | 可以修改素材" in page
    assert "| Can fly" in page
    assert "| Can view_all" in page
    assert "Can change" not in page


def test_what_is_done_by_schedule_is_named_in_the_language_asked_for(staff_client):
    call_command("prepare")
    now = timezone.now()
    told = {"group": "sweep trash", "func": "gallery.tasks.sweep_trash", "started": now, "stopped": now}
    Task.objects.bulk_create(Task(id=uuid4().hex, name="one-of-many", success=done, **told) for done in (False, True))
    for path in ("schedule", "success", "failure"):
        page = admin_in_chinese(staff_client, f"django_q/{path}/")
        assert "清理回收站" in page
        assert "sweep trash" not in page
