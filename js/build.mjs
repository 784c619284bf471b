// One module and one style sheet, committed to agno_nb/widgets/static so that an install needs no node.
import { build } from "esbuild";
import { copyFile, stat } from "node:fs/promises";

const OUT = new URL("../agno_nb/widgets/static/", import.meta.url).pathname;
const LIMIT = 150_000;

await build({
  entryPoints: ["src/index.ts"],
  outfile: `${OUT}widgets.js`,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "inline",
  charset: "ascii",
});
await copyFile("src/style.css", `${OUT}widgets.css`);
const { size } = await stat(`${OUT}widgets.js`);
if (size > LIMIT) {
  throw new Error(`the bundle has ${size} bytes; it may have ${LIMIT}`);
}
console.log(`widgets.js: ${Math.round(size / 1000)} kB`);
