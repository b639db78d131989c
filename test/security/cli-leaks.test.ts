import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cli, CONNECTION_STRING_LINE } from "../fixtures/cli.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-leaks-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** How a process ends that is killed once it has printed this. */
async function endOf(cli: Cli, last: RegExp): Promise<number | string> {
  const end = cli.ended();
  await Promise.race([cli.printed(last), end]);
  cli.kill("SIGKILL");
  return await end;
}

describe("every test is told that a process has given away", () => {
  it("an access key, unless it is said that this line shows it", async () => {
    const emulator = (shows: readonly RegExp[]) => Cli.start(["emulator", "--port", "0"], { cwd: folder, shows });
    await expect(endOf(emulator([]), CONNECTION_STRING_LINE)).rejects.toThrow(/given away .*accesskey=/);
    expect(await endOf(emulator([CONNECTION_STRING_LINE]), CONNECTION_STRING_LINE)).toBe("SIGKILL");
    const elsewhere = [/^a line that is not there$/];
    await expect(endOf(emulator(elsewhere), CONNECTION_STRING_LINE)).rejects.toThrow(/given away .*accesskey=/);
  });

  it("a token", async () => {
    const env = { PORT: "0", ADMIN_PORT: "0" };
    const dev = Cli.start(["dev"], { cwd: folder, env });
    await expect(endOf(dev, /^curl .*$/m)).rejects.toThrow(/given away .*eyJ/);
  });

  const secret = randomBytes(32).toString("hex");
  it.each<[string, Record<string, string>]>([
    ["a key", { AUDIT_KEY: secret }],
    ["the access key of a connection string", { ACS_CONNECTION_STRING: `endpoint=https://x/;accesskey=${secret}` }],
    ["the password of an address", { REDIS_URL: `redis://user:${secret}@127.0.0.1:9` }],
  ])("%s that it was given", async (_, env) => {
    // Before the configuration is read nothing can tell that this is one.
    const args = ["serve", "--config", join(folder, secret)];
    await expect(Cli.run(args, { cwd: folder, env })).rejects.toThrow(
      `given away in the output of a process: ${secret.slice(0, 16)}`,
    );
    expect(() => Cli.runInShell(args, "2>&1", { cwd: folder, env })).toThrow("given away");
    expect(await Cli.run(args, { cwd: folder })).toMatchObject({ code: 2, stderr: expect.stringContaining(secret) });
  });
});
