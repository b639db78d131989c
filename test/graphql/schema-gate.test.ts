import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judge } from "../../scripts/schema/gate.js";

const RELEASED = `
  enum Status { ACTIVE SUSPENDED }
  input Filter { status: [Status!], limit: Int }
  interface Node { id: ID! }
  type User implements Node { id: ID!, name: String, age: Int }
  type Page { users: [User!]! }
  type Query { user(id: ID, hint: String): User, users(filter: Filter): Page!, status: Status! }
`;
const TODAY = Date.parse("2026-06-01T00:00:00Z");

/** The verdict on a change, made in the whole schema and in the part for apps alike. */
async function verdictOn(current: string, { released = RELEASED, version = "0.1.0" } = {}) {
  const variants = (sdl: string) => ({ schema: sdl, public: sdl });
  const question = { released: variants(released), current: variants(current), releasedVersion: "0.1.0" };
  return await judge({ ...question, version, today: TODAY });
}

const changed = (from: string, to: string, released = RELEASED) => {
  expect(released).toContain(from);
  return released.replace(from, to);
};

describe("the gate before a change of the released schema", () => {
  it("lets through what changes nothing", async () => {
    expect(await verdictOn(RELEASED)).toEqual({ refused: [], allowed: [] });
  });

  it.each([
    ["a field that is removed", "age: Int", "", "Field 'age' was removed from object type 'User'."],
    ["a type that changes", "age: Int", "age: String", "Field 'User.age' changed type from 'Int' to 'String'."],
    ["an answer that may be null now", "users: [User!]!", "users: [User!]", "Field 'Page.users' changed type"],
    ["an argument that is required now", "id: ID,", "id: ID!,", "Type for argument 'id' on field 'Query.user' changed"],
    [
      "an argument that is removed",
      ", hint: String",
      "",
      "Argument 'hint: String' was removed from field 'Query.user'.",
    ],
    [
      "a new argument that is required",
      "hint: String",
      "hint: String, why: String!",
      "Argument 'why: String!' added to field",
    ],
    ["an input field that is required now", "limit: Int", "limit: Int!", "Input field 'Filter.limit' changed type"],
    ["an input field that is removed", ", limit: Int", "", "Input field 'limit' was removed"],
    ["an enum value that is removed", " SUSPENDED", "", "Enum value 'SUSPENDED' was removed from enum 'Status'."],
    ["an interface that is no more", "User implements Node", "User", "'User' object type no longer implements 'Node'"],
  ])("refuses %s", async (_, from, to, told) => {
    const { refused } = await verdictOn(changed(from, to));
    expect(refused).toEqual([expect.stringContaining(`breaks apps and operators: ${told}`)]);
  });

  it.each([
    ["a new field", "age: Int", "age: Int, height: Int", "safe, apps and operators: Field 'height' was added"],
    ["a new optional argument", "hint: String", "hint: String, why: String", "Argument 'why: String' added"],
    ["a new enum value, which some clients may not expect", "SUSPENDED", "SUSPENDED DELETED", "dangerous, apps and"],
    ["an answer that is never null now", "name: String", "name: String!", "Field 'User.name' changed type"],
  ])("lets through %s, and tells it", async (_, from, to, told) => {
    const { refused, allowed } = await verdictOn(changed(from, to));
    expect(refused).toEqual([]);
    expect(allowed.join()).toContain(told);
  });

  it("refuses another root type", async () => {
    const { refused } = await verdictOn(`schema { query: Page } ${changed("type Query", "type Query2")}`);
    expect(refused.join()).toContain("root");
  });

  it("lets through other words in descriptions, without a word", async () => {
    const verdict = await verdictOn(changed("type Page", '"A page." type Page'));
    expect(verdict).toEqual({ refused: [], allowed: [] });
  });

  it("lets a new major version break, which before 1.0 is a minor one", async () => {
    const current = changed("age: Int", "");
    expect(await verdictOn(current, { version: "0.1.1" })).toMatchObject({ refused: [expect.any(String)] });
    for (const version of ["0.2.0", "1.0.0"]) {
      const { refused, allowed } = await verdictOn(current, { version });
      expect(refused).toEqual([]);
      expect(allowed).toEqual([expect.stringContaining("new major version, apps and operators: Field 'age'")]);
    }
  });

  it("tells whom a change breaks: what is not for apps breaks operators, what apps can no longer see breaks apps", async () => {
    const released = { schema: RELEASED, public: changed("age: Int", "") };
    const ask = async (current: { schema: string; public: string }) =>
      await judge({ released, current, releasedVersion: "0.1.0", version: "0.1.0", today: TODAY });
    const forOperators = await ask({ schema: changed("age: Int", ""), public: released.public });
    expect(forOperators.refused).toEqual([expect.stringMatching(/^breaks operators: Field 'age'/)]);
    const forApps = await ask({ schema: RELEASED, public: changed("name: String, age: Int", "") });
    expect(forApps.refused).toEqual([expect.stringMatching(/^breaks apps: Field 'name'/)]);
  });
});

describe("a removal that was announced", () => {
  const announced = (until: string, place = "age: Int") =>
    changed(place, `${place} @deprecated(reason: "Since 0.1.0, until ${until}: use name.")`);

  it("goes through from its day on, and no sooner", async () => {
    for (const [until, isRefused] of [
      ["2026-06-01", false],
      ["2026-06-02", true],
    ] as const) {
      const { refused, allowed } = await verdictOn(changed("age: Int", ""), { released: announced(until) });
      expect([refused.length, allowed.length]).toEqual(isRefused ? [1, 0] : [0, 1]);
    }
  });

  it.each([
    ["an argument", "hint: String", ", hint: String"],
    ["an input field", "limit: Int", ", limit: Int"],
    ["an enum value", "SUSPENDED", " SUSPENDED"],
  ])("may be that of %s", async (_, place, removed) => {
    const { refused } = await verdictOn(changed(removed, ""), { released: announced("2026-01-01", place) });
    expect(refused).toEqual([]);
  });

  it("takes with it a type that nothing else answers, unless clients know it by an interface", async () => {
    const released = announced("2026-01-01", "users(filter: Filter): Page!");
    const withoutUsers = changed("users(filter: Filter): Page!, ", "");
    const gone = withoutUsers.replace(/input Filter.*\n/, "").replace(/type Page.*\n/, "");
    expect((await verdictOn(gone, { released })).refused).toEqual([]);
    const withoutUser = announced("2026-01-01", "user(id: ID, hint: String): User");
    const { refused } = await verdictOn(
      gone.replace("user(id: ID, hint: String): User, ", "").replace(/type User.*\n/, ""),
      { released: withoutUser.replace("): Page!", '): Page! @deprecated(reason: "Since 0.1.0, until 2026-01-01: x")') },
    );
    expect(refused).toEqual([expect.stringContaining("Type 'User' was removed")]);
  });

  it("is no announcement with another form, or with too little notice", async () => {
    const ask = async (reason: string) =>
      (await verdictOn(changed("age: Int", `age: Int @deprecated${reason}`))).refused;
    expect(await ask('(reason: "use name")')).toEqual([expect.stringMatching(/User\.age .*a reason such as "Since/)]);
    expect(await ask("")).toEqual([expect.stringMatching(/User\.age/)]);
    expect(await ask('(reason: "Since 0.2.0, until 2026-13-01: use name.")')).toHaveLength(1);
    const hasty = await ask('(reason: "Since 0.2.0, until 2026-11-27: use name.")');
    expect(hasty).toEqual([expect.stringContaining("180 days' notice: until 2026-11-28 at the earliest")]);
    expect(await ask('(reason: "Since 0.2.0, until 2026-11-28: use name.")')).toEqual([]);
  });

  it("cannot be brought forward", async () => {
    const { refused } = await verdictOn(announced("2026-06-02"), { released: announced("2027-06-01") });
    expect(refused).toEqual([expect.stringContaining("until 2026-11-28 at the earliest")]);
  });
});

describe("npm run check:schema", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "gateway-schema-"));
    mkdirSync(join(folder, "schema"));
    for (const file of ["schema/schema.graphql", "schema/public.graphql", "package.json"])
      cpSync(file, join(folder, file));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const script = ["--import", import.meta.resolve("tsx"), resolve("scripts/check-schema.ts")];
  const check = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...script, ...args], {
      cwd: folder,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };
  const edit = (file: string, from: string | RegExp, to: string) => {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    expect(text.replace(from, to)).not.toBe(text);
    writeFileSync(path, text.replace(from, to));
  };

  it("passes on this repository, which says of which version the released schema is", () => {
    expect(execFileSync(process.execPath, script, { encoding: "utf8" })).not.toContain("may not change");
    for (const name of ["schema", "public"])
      expect(readFileSync(`schema/released/${name}.graphql`, "utf8")).toMatch(/^# Released as \d+\.\d+\.\d+\.\n/);
  });

  it("has nothing to compare with before the first release", () => {
    expect(check()).toMatchObject({ status: 1, stderr: expect.stringContaining("npm run release:schema") });
    expect(check("--release")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(check()).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("lists additions and passes, until a release takes them up", () => {
    edit("schema/schema.graphql", "  viewer: Viewer!", "  added: Int\n  viewer: Viewer!");
    expect(check()).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/Since 0\.1\.0.*\n {2}safe, operators: .*added/),
    });
    expect(check("--release")).toMatchObject({ status: 0 });
    expect(check()).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("fails with what breaks whom and the cure, and releases nothing then", () => {
    edit("schema/schema.graphql", /\n {2}expiresOn: DateTime!/, "\n  expires: DateTime!");
    edit("schema/public.graphql", /\n {2}expiresOn: DateTime!/, "\n  expires: DateTime!");
    const failed = {
      status: 1,
      stdout: expect.stringContaining("breaks apps and operators: Field 'expiresOn' was removed"),
      stderr: expect.stringContaining("deprecate it first"),
    };
    expect(check()).toMatchObject(failed);
    expect(check("--release")).toMatchObject(failed);
    expect(check()).toMatchObject(failed);
  });

  it("lets a new major version through, which becomes the released one", () => {
    edit("package.json", /"version": "[^"]*"/, '"version": "1.0.0"');
    expect(check("--release")).toMatchObject({ status: 0, stdout: expect.stringContaining("new major version") });
    expect(readFileSync(join(folder, "schema/released/schema.graphql"), "utf8")).toMatch(/^# Released as 1\.0\.0\./);
    expect(check()).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
