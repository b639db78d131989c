import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What the compiler says of these modules, one line for each fault. */
export function typeCheck(modules: Readonly<Record<string, string>>): string[] {
  // In the project, so that its packages are found.
  const folder = mkdtempSync(".deploy-");
  try {
    for (const [name, text] of Object.entries(modules)) writeFileSync(join(folder, name), text);
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../tsconfig.json", include: ["*.ts"] }));
    const { stdout, error } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", folder], {
      encoding: "utf8",
    });
    if (error) throw error;
    return stdout.split("\n").filter((line) => line.includes("error TS"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
