/** Builds the program, `dist/main.js` and what belongs to it, and the client, `dist/client`. Says nothing unless something is wrong. */
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { build } from "rolldown";
import program from "../rolldown.config.js";

await build(program);
chmodSync("dist/main.js", 0o755);
// As modules of their own, with declarations: apps bundle it themselves.
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "src/client"], { stdio: "inherit" });
