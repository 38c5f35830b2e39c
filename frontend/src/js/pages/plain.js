// A page that says what went wrong.
import "../stay.js";
