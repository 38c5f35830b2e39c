// Words in the reader's language: the server's catalogue, where a page of another language than English loaded it.

export const gettext = (text) => window.django?.gettext?.(text) ?? text;

export const ngettext = (one, many, count) => window.django?.ngettext?.(one, many, count) ?? (count === 1 ? one : many);

/** `%(name)s` in a text becomes what `values` has of that name. */
export const interpolate = (text, values) =>
  text.replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? String(values[name]) : whole));
