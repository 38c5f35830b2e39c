// The gallery: filters apply as they change, pending tiles become ready by themselves.
import { askOnce } from "./once.js";
import "./watch.js";

askOnce(document.querySelector("form.filters"));
