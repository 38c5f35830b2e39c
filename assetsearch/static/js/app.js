// What every page does.
import "./requests.js";
import "./dialog.js";
import "./keyboard.js";
import "./tags.js";
import "./toasts.js";
