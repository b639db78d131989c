import { readFileSync } from "node:fs";

const PATTERNS = {
  /** Of Node: how large the heap may get. */
  NODE_OPTIONS: /NODE_OPTIONS="(.+) \$NODE_OPTIONS"/,
  /** Of the C library: how many places its memory is taken from. */
  MALLOC_ARENA_MAX: /MALLOC_ARENA_MAX="\$\{MALLOC_ARENA_MAX:-(\d+)\}"/,
} as const;

type StartEnvironment = Readonly<Record<keyof typeof PATTERNS, string>>;

/** What `npm start` has in the program's environment, for whoever starts it in another way. */
export const START_ENVIRONMENT: StartEnvironment = readStart();

function readStart(): StartEnvironment {
  const { scripts } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    scripts: { start: string };
  };
  const read = (name: keyof StartEnvironment) => {
    const value = PATTERNS[name].exec(scripts.start)?.[1];
    if (value === undefined) throw new Error(`npm start has no ${name}`);
    return value;
  };
  return { NODE_OPTIONS: read("NODE_OPTIONS"), MALLOC_ARENA_MAX: read("MALLOC_ARENA_MAX") };
}
