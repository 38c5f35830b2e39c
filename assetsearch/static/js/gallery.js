// The gallery: pending tiles become ready by themselves.
import "./watch.js";
