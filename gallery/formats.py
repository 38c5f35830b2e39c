"""The formats of pictures that are taken. Imports nothing: what needs no Django asks here too."""

#: Format as Pillow names it -> content type served. Formats not listed are never opened.
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with further pictures behind it, as many phones write
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
    "JPEG2000": "image/jp2",
    "DICOM": "application/dicom",
}
#: Formats that browsers show as they are.
SHOWN_BY_BROWSERS = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "AVIF"}
_JPEG_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif"}
#: Suffixes that files of a format go by.
SUFFIXES_OF = {
    "JPEG": _JPEG_SUFFIXES,
    "MPO": _JPEG_SUFFIXES | {".mpo"},
    "PNG": {".png", ".apng"},
    "WEBP": {".webp"},
    "GIF": {".gif"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp", ".dib"},
    "AVIF": {".avif", ".avifs"},
    "HEIF": {".heic", ".heif", ".hif"},
    "JPEG2000": {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"},
    "DICOM": {".dcm", ".dicom"},
}
#: What a folder of photographs holds; files of other kinds beside them are no mistake.
SUFFIXES = set().union(*SUFFIXES_OF.values())


def _(text: str) -> str:
    """Marks it, to be translated where it is shown."""
    return text


#: For people, in messages.
ACCEPTED = _("JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC, JPEG 2000 or DICOM")
