// Builds what browsers load: node build.mjs [folder]
// Names carry a hash of the content, so that browsers may keep them for ever; manifest.json tells which name is whose.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../assetsearch/static/dist");
const manifest = {};
// Half of Swagger UI, which the API's reference has no use for: schemas of OpenAPI 3.1 and later (it is told in 3.0) and in
// YAML, cookies as parameters, servers and paths whose names need a grammar to be found, OAuth, links where a description
// has a bare address, colours for languages that are not shown, and what all browsers asked for bring along.
const unused = [
  [/swagger-client\/es\/resolver\/strategies\/[^/]+-apidom\/index\.js$/, 'export default { name: "none", match: () => false };'],
  [/swagger-client\/es\/helpers\/cookie\.js$/, "export const serialize = String;"],
  [/js-yaml\/dist\/js-yaml\.mjs$/, "export const JSON_SCHEMA = null; export default { load: (text) => JSON.parse(text) };"],
  [
    /openapi-path-templating\/es\/index\.mjs$/,
    "export const resolve = (path, values, { encoder }) =>" +
      "path.replace(/{([^{}]+)}/g, (part, name) => (name in values ? encoder(values[name]) : part));",
  ],
  [/openapi-server-url-templating\/es\/index\.mjs$/, "export const test = () => false; export const substitute = String;"],
  [/node_modules\/to-buffer\/index\.js$/, "module.exports = String;"],
  [/remarkable\/dist\/esm\/linkify\.js$/, "export const linkify = () => {};"],
  [/highlight\.js\/lib\/languages\/(http|javascript|powershell|xml|yaml)\.js$/, "module.exports = () => ({});"],
  [/react-syntax-highlighter\/dist\/esm\/styles\/hljs\/(arta|idea|monokai|nord|obsidian|tomorrow-night)\.js$/, "export default {};"],
  [/core-js-pure\/features\/object\/assign\.js$/, "module.exports = Object.assign;"],
  [/core-js-pure\/features\/instance\/bind\.js$/, "module.exports = (callable) => callable.bind;"],
  [/core-js-pure\/features\/aggregate-error\.js$/, "module.exports = AggregateError;"],
  [/core-js-pure\/stable\/instance\/includes\.js$/, "module.exports = (sequence) => sequence.includes;"],
];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await scripts();
for (const name of ["app", "admin", "api_docs"]) styles(name);
const ordered = Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(join(out, "manifest.json"), `${JSON.stringify(ordered, null, 2)}\n`);

async function scripts() {
  const pages = readdirSync(join(here, "src/js/pages")).map((name) => `src/js/pages/${name}`);
  const apart = "src/js/pages/api_docs.js"; // shares nothing with other pages that is worth a request
  await bundled(["src/js/app.js", ...pages.filter((page) => page !== apart)]);
  await bundled([apart], {
    alias: { react: "preact/compat", "react-dom": "./src/js/react-dom.js" },
    define: { global: "globalThis" },
    plugins: [{ name: "unused", setup: leaveOut }],
  });
}

async function bundled(entryPoints, options = {}) {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints,
    outbase: "src/js",
    outdir: out,
    entryNames: "[dir]/[name]-[hash]",
    chunkNames: "chunks/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["chrome111", "firefox128", "safari16.4"], // as Tailwind CSS 4
    minify: true,
    legalComments: "eof",
    metafile: true,
    ...options,
  });
  for (const [file, { entryPoint }] of Object.entries(metafile.outputs)) {
    if (!entryPoints.includes(entryPoint)) continue; // what a script imports later on, it finds by itself
    manifest[relative("src/js", entryPoint)] = relative(out, join(here, file));
  }
}

function leaveOut({ onLoad }) {
  for (const [filter, contents] of unused) onLoad({ filter }, () => ({ contents }));
}

function styles(name) {
  const file = join(out, `${name}.css`);
  const cli = join(here, "node_modules/@tailwindcss/cli/dist/index.mjs");
  execFileSync(process.execPath, [cli, "--input", `src/css/${name}.css`, "--output", file, "--minify"], {
    cwd: here,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const hash = createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 8).toUpperCase();
  manifest[`${name}.css`] = `${name}-${hash}.css`;
  copyFileSync(file, join(out, manifest[`${name}.css`]));
  rmSync(file);
}
