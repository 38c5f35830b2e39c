from django.urls import path, re_path

from gallery import group_views, import_views, tus, upload_views, views

app_name = "gallery"
urlpatterns = [
    path("gallery/", views.gallery, name="gallery"),
    path("gallery/states/", views.states, name="states"),
    path("upload/", upload_views.upload, name="upload"),
    path("upload/files/", tus.Uploads.as_view(), name="tus"),
    # what secrets.token_urlsafe(24) gives: a name becomes a file's, and those have limits
    re_path(r"^upload/files/(?P<name>[-a-zA-Z0-9_]{32})/$", tus.Upload.as_view(), name="tus_upload"),
    path("import/", import_views.begin, name="begin_import"),
    path("imports/", import_views.imports, name="imports"),
    path("imports/<int:import_id>/", import_views.import_, name="import"),
    path("imports/<int:import_id>/cancel/", import_views.cancel, name="cancel_import"),
    path("imports/<int:import_id>/retry/", import_views.retry, name="retry_import"),
    path("assets/<int:asset_id>/", views.asset, name="asset"),
    path("assets/<int:asset_id>/edit/", views.edit, name="edit"),
    path("assets/<int:asset_id>/delete/", views.delete, name="delete"),
    path("assets/<int:asset_id>/download/", views.download, name="download"),
    path("assets/<int:asset_id>/preview.jpg", views.preview, name="preview"),
    path("assets/<int:asset_id>/thumbnail.jpg", views.thumbnail, name="thumbnail"),
    path("collections/", group_views.collections, name="collections"),
    path("collections/<int:collection_id>/rename/", group_views.rename_collection, name="rename_collection"),
    path("collections/<int:collection_id>/delete/", group_views.delete_collection, name="delete_collection"),
    path("tags/", group_views.tags, name="tags"),
]
