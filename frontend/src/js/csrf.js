/** The cookie's: signing in again, in another tab, makes the page's own void. */
export function csrfToken() {
  const own = document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  return document.cookie.match(/\bcsrftoken=([^;]+)/)?.[1] ?? own;
}
