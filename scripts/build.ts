/** Builds the program, `dist/main.js` and what belongs to it. Says nothing unless something is wrong. */
import { chmodSync } from "node:fs";
import { build } from "rolldown";
import program from "../rolldown.config.js";

await build(program);
chmodSync("dist/main.js", 0o755);
