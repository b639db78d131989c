/**
 * The licences of what is bundled, which those who pass the program on have to pass on too: written beside a bundle, of the packages
 * that are really in it. A package whose licence asks for more than that ends the build.
 */
import { readFileSync } from "node:fs";
import type { Plugin } from "rolldown";
import { type LicenseInfo, licensePlugin } from "rolldown-license-plugin";

export const THIRD_PARTY_FILE = "THIRD_PARTY_LICENSES.txt";

const ALLOWED = new Set(["MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0"]);
const RULE = "-".repeat(80);

export const thirdParty: Plugin = licensePlugin({
  allow: ({ license }) => ALLOWED.has(license),
  failOnViolation: true,
  failOnUnlicensed: true,
  done: (licenses, context) => {
    context.emitFile({ type: "asset", fileName: THIRD_PARTY_FILE, source: licenses.map(entry).join("\n") });
  },
});

function entry({ name, version, license, licenseText }: LicenseInfo): string {
  const text = licenseText.trim() || "The package has no text of its licence.";
  return `${RULE}\n${name}@${version} (${license})\n${RULE}\n\n${text}\n`;
}

/** Of a file as above, each as name@version. */
export function readBundled(file: string): string[] {
  const heading = new RegExp(`^${RULE}\\n(\\S+@\\S+) \\(`, "gm");
  return [...readFileSync(file, "utf8").matchAll(heading)].map(([, name = ""]) => name);
}
