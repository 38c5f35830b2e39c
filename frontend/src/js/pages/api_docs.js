// What the API takes and answers, from its OpenAPI schema, to be read and to be tried.

import SwaggerUI from "swagger-ui";

const main = document.querySelector("[data-schema]");
const { theme } = document.documentElement.dataset;
const isDark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
document.documentElement.classList.toggle("dark-mode", isDark); // what Swagger UI's styles go by

SwaggerUI({
  domNode: main,
  url: main.dataset.schema,
  deepLinking: true,
  docExpansion: "list",
  persistAuthorization: true,
  validatorUrl: null,
  requestInterceptor(request) {
    // whoever is signed in tries it as themselves; to others' servers, no token goes
    if (new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRFToken"] = main.dataset.csrf;
    }
    return request;
  },
});
