import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

/** From the top down: a module may import, at run time, from its own folder and from layers below. */
const LAYERS: readonly (readonly string[])[] = [
  ["main", "hosts"],
  ["dev", "commands"],
  ["gateway"],
  ["gateway-base"],
  ["gateway-audit", "gateway-service"],
  ["http"],
  ["graphql"],
  ["tokens"],
  ["identities"],
  ["acs", "auth", "limits", "observe", "policy", "shared", "store"],
  ["audit"],
  ["key-checks", "keys"],
  ["config"],
  [
    "calendar",
    "deadline",
    "ending",
    "errors",
    "heap",
    "in-time",
    "json",
    "loop",
    "outgoing",
    "recent",
    "text",
    "version",
  ],
];

/** Who may import which library, at run time or for its types. */
const VENDORS: readonly (readonly [library: RegExp, rooms: readonly string[]])[] = [
  [/^@azure\/(?!functions$)/, ["acs"]],
  [/^@azure\/functions$/, ["hosts"]],
  [/^@apollo\/|^type-graphql$|^reflect-metadata$|^graphql$/, ["graphql"]],
  [/^cockatiel$/, ["acs"]],
  [/^csv-parse$/, ["commands"]],
  [/^graphql-ws$|^ws$/, ["graphql"]],
  [/^jose$/, ["auth", "dev"]],
  [/^kysely|^node:sqlite$/, ["store", "emulator"]],
  [/^pg$/, ["store"]],
  [/^pino$|^pino-pretty$|^prom-client$|^@opentelemetry\//, ["observe"]],
  [/^rate-limiter-flexible$/, ["limits"]],
  [/^zod$|^yaml$/, ["config"]],
  [/^dataloader$/, ["identities"]],
  [/^ioredis$/, ["shared"]],
  [/^lru-cache$/, ["recent"]],
];

/** They import nothing else of the project. */
const APART = ["emulator", "client"];

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const imports = files.flatMap(readImports);

function readImports(file: string): Import[] {
  const text = readFileSync(join("src", file), "utf8");
  const pattern = /^(?:import|export) (type )?(?:[^"';]*? from )?"([^"]+)"|(?<!\.)\bimport\("([^"]+)"\)/gm;
  return [...text.matchAll(pattern)].map(([, type, from, dynamic]) => ({
    file,
    target: from ?? dynamic ?? "",
    typeOnly: type !== undefined,
  }));
}

/** `identities` for identities/reader.ts, `gateway` for gateway.ts. */
function roomOf(file: string): string {
  return file.split("/")[0]?.replace(/\.ts$/, "") ?? "";
}

function resolve({ file, target }: Import): string | undefined {
  return target.startsWith(".") ? normalize(join(dirname(file), target)).replace(/\.js$/, ".ts") : undefined;
}

const layerOf = (room: string) => LAYERS.findIndex((layer) => layer.includes(room));

/** main.ts → gateway.ts → … → file: how the program comes to load it. */
function chainTo(file: string): string {
  const cameFrom = new Map<string, string>();
  const queue = ["main.ts"];
  for (const current of queue) {
    for (const next of imports.filter((found) => found.file === current && !found.typeOnly).map(resolve)) {
      if (next === undefined || cameFrom.has(next) || next === "main.ts") continue;
      cameFrom.set(next, current);
      queue.push(next);
    }
  }
  const chain = [file];
  for (let at = cameFrom.get(file); at !== undefined; at = cameFrom.get(at)) chain.unshift(at);
  return chain.join(" → ");
}

describe("the structure of src", () => {
  it("is seen whole by this test", () => {
    expect(imports.length).toBeGreaterThan(100);
    const rooms = new Set(files.map(roomOf).filter((room) => !APART.includes(room)));
    expect([...rooms].filter((room) => layerOf(room) < 0)).toEqual([]);
  });

  it("imports downwards only", () => {
    const broken = imports.flatMap((found) => {
      const target = resolve(found);
      if (target === undefined || target === "../package.json" || found.typeOnly) return [];
      const [from, to] = [roomOf(found.file), roomOf(target)];
      const allowed = from === to || (to === "emulator" ? ["main", "dev"].includes(from) : layerOf(from) < layerOf(to));
      return allowed ? [] : [`${chainTo(found.file)} → ${target}`];
    });
    expect(broken).toEqual([]);
  });

  it.each(APART)("keeps the %s apart: it imports nothing else of the project", (room) => {
    const outward = imports.filter((found) => roomOf(found.file) === room).flatMap((found) => resolve(found) ?? []);
    expect(outward).not.toEqual([]);
    expect(outward.filter((target) => roomOf(target) !== room)).toEqual([]);
  });

  it("keeps the client free of any library and of Node, and out of the program", () => {
    const libraries = imports.filter(({ file, target }) => roomOf(file) === "client" && !target.startsWith("."));
    expect(libraries).toEqual([]);
    const users = imports.filter(
      (found) => roomOf(resolve(found) ?? "") === "client" && roomOf(found.file) !== "client",
    );
    expect(users).toEqual([]);
  });

  it("keeps each library in its room", () => {
    const strays = imports.flatMap(({ file, target }) =>
      VENDORS.filter(([library, rooms]) => library.test(target) && !rooms.includes(roomOf(file))).map(
        () => `${file} imports ${target}`,
      ),
    );
    expect(strays).toEqual([]);
  });

  it("touches the process where it begins only, and never the console", () => {
    const users = files.filter((file) =>
      /\bprocess\.(env|exit|on|argv|std|kill|cwd)|= process\b|\bconsole\./.test(
        readFileSync(join("src", file), "utf8"),
      ),
    );
    expect(users.sort()).toEqual(["hosts/azure-functions.ts", "main.ts"]);
  });
});
