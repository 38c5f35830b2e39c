"""Why something could not be done, as rows keep it, is told in the language of whoever reads it."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.translation import override

from gallery.errors import Code, Refused
from gallery.formats import ACCEPTED
from gallery.import_models import Import
from gallery.models import Asset
from gallery.reasons import retold
from search import index, pipeline, report_making, switching
from search.encoders import EncoderUnavailable, hub
from search.models import Embedding, Encoder, IndexBuild
from search.report_models import Entry

CHINESE = {"Accept-Language": "zh-CN"}
UNREADABLE = "The preview cannot be read: [Errno 2] No such file or directory: 'a.jpg'"


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ("The file is empty.", "文件是空的。"),
        ("The file is too large; at most 100 MB are taken.", "文件过大；最多接收 100 MB。"),  # noqa: RUF001
        (UNREADABLE, "无法读取预览图：[Errno 2] No such file or directory: 'a.jpg'"),  # noqa: RUF001
        ("The preview cannot be read", "无法读取预览图"),
        (pipeline.GAVE_UP, "尝试分析 3 次，均未完成：每次进程都意外终止或超时。"),  # noqa: RUF001
        (IndexBuild.INTERRUPTED, "构建被中断。"),
        ("/models has no model.safetensors. Grant access.", "/models 中没有 model.safetensors。请授予访问权限。"),
        (  # a reason in a reason
            "dinov2-base cannot serve yet. /models has no model.safetensors. Grant access.",
            "dinov2-base 尚不能用于搜索。/models 中没有 model.safetensors。请授予访问权限。",
        ),
        (  # what is enumerated in a reason
            f"This is no picture we can read: {ACCEPTED}.",
            "这不是可读取的图片。支持的格式：JPEG、PNG、WebP、GIF、TIFF、BMP、AVIF、HEIC、JPEG 2000 或 DICOM。",  # noqa: RUF001
        ),
        ("Tags cannot be reached.", "无法连接 Tags。"),  # a name that is a word of ours
        ("out of cheese", "out of cheese"),
        ("", ""),
    ],
)
def test_reason_is_told_in_chinese_with_its_values(kept, told):
    with override("zh-hans"):
        assert retold(kept) == told
    assert retold(kept) == kept


@pytest.fixture
def failed(asset, encoder) -> Asset:
    """One whose preview could not be read."""
    made = asset(1)
    pipeline.claim([made.pk], encoder)
    pipeline.fail(encoder, {made.pk: UNREADABLE})
    return made


def test_pages_and_api_tell_why_an_asset_cannot_be_found(user_client, staff_client, api, failed):
    embedding = Embedding.objects.get()
    failures = f"/work/failures/?encoder={embedding.encoder_id}&reason=The preview cannot be read"
    of_admin = [
        "",
        f"gallery/asset/{failed.pk}/change/",
        "search/embedding/",
        f"search/embedding/{embedding.pk}/change/",
    ]
    shown = [(user_client, address) for address in (failed.get_absolute_url(), "/work/", "/gallery/", failures)]
    for client, address in shown + [(staff_client, f"/admin/{address}") for address in of_admin]:
        page = client.get(address, headers=CHINESE).content.decode()
        assert "无法读取预览图" in page, address
    told = api.get(f"/api/v1/assets/{failed.pk}/", headers=CHINESE).json()["error"]
    assert told.startswith("无法读取预览图")
    assert api.get(f"/api/v1/assets/{failed.pk}/").json()["error"] == UNREADABLE


def test_refusals_of_an_import_are_kept_in_english(user, user_client, api):
    row = Import.objects.create(owner=user, kind="zip", name="a.zip", state="failed", error="It is encrypted.")
    row.refusals.create(position=0, source="a.jpg", code="empty", detail="The file is empty.")
    page = user_client.get(row.get_absolute_url(), headers=CHINESE).content.decode()
    assert "文件已加密。" in page
    assert "文件是空的。" in page
    assert api.get(f"/api/v1/imports/{row.pk}/", headers=CHINESE).json()["error"] == "文件已加密。"
    [told] = api.get(f"/api/v1/imports/{row.pk}/refusals/", headers=CHINESE).json()["results"]
    assert told["detail"] == "文件是空的。"


def test_refused_picture_of_a_report_is_kept_in_english_whoever_sent_it(user, user_client, encoder):
    report = report_making.begin(user)
    empty = SimpleUploadedFile("empty.jpg", b"")
    user_client.post(report.get_absolute_url(), {"picture": empty}, headers=CHINESE)
    assert Entry.objects.get().detail == "The file is empty."
    assert "文件是空的。" in user_client.get(report.get_absolute_url(), headers=CHINESE).content.decode()
    assert "文件是空的。" in user_client.get(f"{report.get_absolute_url()}report.csv", headers=CHINESE).text


def test_encoder_that_cannot_be_had_is_told_with_what_to_do(staff_client, encoder):
    said = hub._refused("https://hub.example", 404, hub.HubFile("a/b", "main", "config.json"))
    Encoder.objects.update(error=str(said))
    page = staff_client.get(f"/admin/search/encoder/{encoder.pk}/progress/", headers=CHINESE).content.decode()
    assert "模型库 https://hub.example 中没有 config.json of a/b" in page
    assert "镜像必须含有该版本。" in page
    with override("zh-hans"):
        assert Refused(Code.ENCODER_UNAVAILABLE, str(said)).detail == retold(str(said))


def test_what_cannot_be_done_to_an_encoder_is_told_in_the_language_of_the_page(staff_client, encoder):
    with pytest.raises(switching.CannotSwitch) as raised:
        switching.retirable(encoder)
    answered = staff_client.get(f"/admin/search/encoder/{encoder.pk}/retire/", headers=CHINESE, follow=True)
    with override("zh-hans"):
        told = retold(str(raised.value))
    assert told.startswith("descriptor 正用于搜索。")
    assert told.capitalize().partition("：")[0] in answered.content.decode()  # noqa: RUF001


def test_index_that_was_not_built_says_why(encoder):
    with pytest.raises(index.BuildFailed) as raised:
        index.build(encoder, kind="ivfflat")
    with override("zh-hans"):
        assert retold(str(raised.value)).startswith("只有 0 个向量")


def test_reason_and_remedy_stay_two(encoder):
    error = EncoderUnavailable("It is encrypted.", "Try again in some minutes.")
    with override("zh-hans"):
        assert retold(str(error)) == "文件已加密。请几分钟后再试。"
