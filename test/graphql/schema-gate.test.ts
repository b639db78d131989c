import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judge } from "../../scripts/schema/gate.js";

const RELEASED = `
  directive @cost(weight: String!) on FIELD_DEFINITION
  directive @trace(depth: Int, label: String! = "x") on FIELD | QUERY
  enum Status { ACTIVE SUSPENDED }
  input Filter { status: [Status!], limit: Int }
  input Order { by: String! = "id", down: Boolean = false }
  interface Node { id: ID! }
  type User implements Node { id: ID!, name: String, age: Int }
  type Page { users: [User!]! }
  type Query { user(id: ID, hint: String): User, users(filter: Filter): Page!, status: Status!, sorted(order: Order, size: Int! = 10): Int @cost(weight: "5") }
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
    [
      "an argument that loses the default that it needs",
      "size: Int! = 10",
      "size: Int!",
      "Default value for argument 'size' on field 'Query.sorted' changed",
    ],
    [
      "an input field that loses the default that it needs",
      'by: String! = "id"',
      "by: String!",
      "Input field 'Order.by' default value changed",
    ],
    [
      "an input of which only one field may be given now",
      "input Filter {",
      "input Filter @oneOf {",
      "Directive 'oneOf'",
    ],
    ["a directive's place that is removed", "FIELD | QUERY", "FIELD", "Location 'QUERY' was removed"],
    ["a directive's argument that is removed", "depth: Int, ", "", "Argument 'depth' was removed"],
    ["a directive's argument that is required now", 'label: String! = "x"', "label: String!", "Default value for"],
    ["an interface that is no more", "User implements Node", "User", "'User' object type no longer implements 'Node'"],
  ])("refuses %s", async (_, from, to, told) => {
    const { refused } = await verdictOn(changed(from, to));
    expect(refused).toEqual([expect.stringContaining(`breaks apps and operators: ${told}`)]);
  });

  it.each([
    ["a new field", "age: Int", "age: Int, height: Int", "safe, apps and operators: Field 'height' was added"],
    ["a new optional argument", "hint: String", "hint: String, why: String", "Argument 'why: String' added"],
    ["a new enum value, which some clients may not expect", "SUSPENDED", "SUSPENDED DELETED", "dangerous, apps and"],
    ["another default", "size: Int! = 10", "size: Int! = 20", "dangerous, apps and operators: Default value"],
    ["a default that is not needed", "down: Boolean = false", "down: Boolean", "dangerous, apps and operators: Input"],
    ["a new directive", "directive @cost", "directive @new on FIELD directive @cost", "Directive 'new' was added."],
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

  it("refuses a directive for operations that is removed, and says it with one full stop", async () => {
    const { refused } = await verdictOn(RELEASED.replace(/directive @trace.*/, ""));
    expect(refused).toEqual(["breaks apps and operators: Directive 'trace' was removed."]);
    for (const line of (await verdictOn(changed(", limit: Int", ""))).refused) expect(line).toMatch(/[^.]\.$/);
  });

  it("lets through what the SDL only tells of costs, without a word", async () => {
    const without = RELEASED.replace(/directive @cost.*/, "").replace(/@cost\(.*?\)/, "");
    const nothing = { refused: [], allowed: [] };
    expect(await verdictOn(changed('"5"', '"7"'))).toEqual(nothing);
    expect(await verdictOn(without)).toEqual(nothing);
    expect(await verdictOn(RELEASED, { released: without })).toEqual(nothing);
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
    const hasty = await ask('(reason: "Since 0.2.0, until 2026-11-27: use name.")');
    expect(hasty).toEqual([expect.stringContaining("180 days' notice: until 2026-11-28 at the earliest")]);
    expect(await ask('(reason: "Since 0.2.0, until 2026-11-28: use name.")')).toEqual([]);
  });

  it.each(["2026-13-01", "2027-02-31", "2027-04-31"])("is none for a day that does not exist: %s", async (until) => {
    const { refused } = await verdictOn(announced(until));
    expect(refused).toEqual([expect.stringMatching(/User\.age .*a reason such as "Since/)]);
  });

  it("cannot be brought forward, however far off the day is", async () => {
    const { refused } = await verdictOn(announced("2028-05-31"), { released: announced("2028-06-01") });
    expect(refused).toEqual([expect.stringContaining("cannot be brought forward: until 2028-06-01 at the earliest")]);
  });

  it("can be postponed or put in other words, also in its last days", async () => {
    const released = announced("2026-06-10");
    for (const current of [announced("2026-06-11"), released.replace("use name", "use `name`")])
      expect((await verdictOn(current, { released })).refused).toEqual([]);
  });

  it("counts from the day on which it has the form", async () => {
    const released = changed("age: Int", 'age: Int @deprecated(reason: "use name")');
    expect((await verdictOn(announced("2026-06-11"), { released })).refused).toHaveLength(1);
    expect((await verdictOn(announced("2026-11-28"), { released })).refused).toEqual([]);
  });
});

// Each starts several processes, which a busy machine may take its time for.
describe("npm run check:schema", { timeout: 120_000 }, () => {
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
