// What the API takes and answers, from its OpenAPI schema, to be read and to be tried.

import SwaggerUI from "swagger-ui";
import "../stay.js";
import { csrfToken } from "../csrf.js";

const main = document.querySelector("[data-schema]");
const { theme } = document.documentElement.dataset;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function darken() {
  const isDark = theme === "dark" || (theme === "auto" && prefersDark.matches);
  document.documentElement.classList.toggle("dark-mode", isDark); // what Swagger UI's styles go by
}

darken();
prefersDark.addEventListener("change", darken);

SwaggerUI({
  domNode: main,
  url: main.dataset.schema,
  docExpansion: "list",
  persistAuthorization: true,
  validatorUrl: null,
  requestInterceptor(request) {
    // whoever is signed in tries it as themselves; to others' servers, no token goes
    if (new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRFToken"] = csrfToken();
    }
    return request;
  },
});
