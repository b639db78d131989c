/** Runs suites, and writes what each of them has measured to RESULTS.md: when, by which command and on what, too. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describeMachine } from "./machine.js";
import { versionOf } from "./postgres.js";
import { mergeSections, renderSection } from "./results.js";
import type { BenchOptions, Suite } from "./suite.js";

interface Run {
  /** All there are, in the order of the file. */
  readonly suites: Readonly<Record<string, Suite>>;
  /** Of those to run. */
  readonly names: readonly string[];
  readonly options: BenchOptions;
  /** As it was typed. */
  readonly command: string;
  /** RESULTS.md */
  readonly file: string;
  /** ms since 1970 */
  readonly now: () => number;
  readonly print: (section: string) => void;
}

export async function record({ suites, names, options, command, file, now, print }: Run): Promise<void> {
  const { postgres } = options;
  const machine = describeMachine(postgres && (await versionOf(postgres)));
  for (const name of names) {
    const suite = suites[name];
    if (suite === undefined) continue;
    const say = (line: string) => options.say(`${name}: ${line}`);
    const measured = await suite.measure({ ...options, say });
    const circumstances = `Measured on ${new Date(now()).toISOString().slice(0, 10)} by \`${command}\`. ${machine}.`;
    const section = renderSection({ name, suite, measured, circumstances });
    // At once, so that a suite that fails takes nothing from those before it.
    const previous = existsSync(file) ? readFileSync(file, "utf8") : "";
    writeFileSync(file, mergeSections(previous, new Map([[name, section]]), Object.keys(suites)));
    print(section);
  }
}
