import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DATABASES, Operator } from "../fixtures/operator.js";

const ANOTHER = Buffer.alloc(32, 8).toString("base64");
const WARNING = "this key is not the one that the database was used with last";

interface Line {
  readonly msg: string;
  readonly key?: string;
}

describe.each(DATABASES)("keys that are not those of the other instances, on %s", (kind) => {
  let operator: Operator;
  beforeEach(async () => {
    operator = await Operator.start(kind);
  });
  afterEach(() => operator.close());

  /** The keys of which a start warns. */
  async function warnedOf(changes: Record<string, string> = {}, args: readonly string[] = []): Promise<string[]> {
    const gateway = operator.start(["serve", ...args], changes);
    await gateway.printed(/"msg":"listening"/);
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
    const lines = gateway.stdout.trimEnd().split("\n");
    const read = lines.map((line) => JSON.parse(line) as Line);
    return read.flatMap(({ msg, key }) => (msg.startsWith(WARNING) ? [String(key)] : []));
  }

  async function examined(changes: Record<string, string> = {}): Promise<string | undefined> {
    const { stdout } = await operator.run(["doctor"], changes);
    return /^(\w+ +)store.keys +(.*) \(\d+ ms\)$/m.exec(stdout)?.slice(1).join("");
  }

  it("are told at the start, once, and by doctor before", async () => {
    expect(await warnedOf()).toEqual([]);
    expect(await warnedOf()).toEqual([]);
    const changes = { AUDIT_KEY: ANOTHER, TOKEN_CACHE_KEY: ANOTHER };
    expect(await examined()).toBe("ok    the keys are those that it was used with last");
    expect(await examined(changes)).toBe("warn  it was used last with another AUDIT_KEY and another TOKEN_CACHE_KEY");
    expect(await warnedOf(changes)).toEqual(["AUDIT_KEY", "TOKEN_CACHE_KEY"]);
    expect(await warnedOf(changes)).toEqual([]);
    expect(await warnedOf({ TOKEN_CACHE_KEY: ANOTHER })).toEqual(["AUDIT_KEY"]);
  });

  it("are told by commands, which change nothing of what is known", async () => {
    await warnedOf();
    const users = operator.path("users.csv");
    writeFileSync(users, "issuer,subject,communicationUserId\n");
    const { stderr } = await operator.run(["import", "--file", users, "--resource-id", operator.emulator.resourceId], {
      AUDIT_KEY: ANOTHER,
    });
    expect(stderr).toContain(`AUDIT_KEY: ${WARNING}`);
    expect(
      (await operator.run(["import", "--file", users, "--resource-id", operator.emulator.resourceId])).stderr,
    ).not.toContain(WARNING);
    expect(await warnedOf()).toEqual([]);
  });

  it("are told when instances start at once on a new database", async () => {
    await operator.withStore(async () => {});
    const keys = [1, 2, 3].map((byte) => Buffer.alloc(32, byte).toString("base64"));
    const warned = await Promise.all(keys.map((key) => warnedOf({ AUDIT_KEY: key })));
    expect(warned.flat()).toEqual(["AUDIT_KEY", "AUDIT_KEY"]);
  });

  it("are not in the database", async () => {
    await warnedOf();
    const rows = (await operator.ask("select name, value from key_checks order by name")) as Record<string, string>[];
    expect(rows.map(({ name }) => name)).toEqual(["AUDIT_KEY", "TOKEN_CACHE_KEY"]);
    // One key, in both places: the values do not tell.
    expect(rows[0]?.value).not.toBe(rows[1]?.value);
    for (const { value } of rows) expect(value).toMatch(/^[\w-]{43}$/);
  });

  it("may have one behind them that the others still use", async () => {
    expect(await warnedOf()).toEqual([]);
    const { TOKEN_CACHE_KEY: old = "" } = operator.env;
    const file = operator.path("rotated.yaml");
    const shipped = readFileSync("gateway.yaml", "utf8");
    const rotated = shipped.replace(/^( +- )\$\{TOKEN_CACHE_KEY:-\}.*$/m, "$&\n$1$${OLD:-}");
    expect(rotated).toContain("- ${OLD:-}");
    writeFileSync(file, rotated);
    expect(await warnedOf({ TOKEN_CACHE_KEY: ANOTHER, OLD: old }, ["--config", file])).toEqual([]);
    expect(await warnedOf()).toEqual(["TOKEN_CACHE_KEY"]);
  });

  it.runIf(kind === "sqlite")("are told by doctor when the file is gone that had them", async () => {
    const kept = { TOKEN_CACHE_KEY: "", AUDIT_KEY: "" };
    expect(await warnedOf(kept)).toEqual([]);
    expect(await examined(kept)).toBe("ok    the keys are those that it was used with last");
    rmSync(operator.path("keys.json"));
    expect(await examined(kept)).toBe(
      "warn  the keys that it was used with last are gone: the next start makes others",
    );
    expect(await warnedOf(kept)).toEqual(["AUDIT_KEY", "TOKEN_CACHE_KEY"]);
  });
});
