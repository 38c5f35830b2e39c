// What every page does.
import "htmx.org";
import "./requests.js";
import "./dialog.js";
import "./drop.js";
import "./keyboard.js";
import "./lightbox.js";
import "./preferences.js";
import "./tags.js";
import "./toasts.js";
import "./uploader.js";
