import { spawnSync } from "node:child_process";
import { Writable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { logOutput } from "../../src/observe/log-output.js";

describe("log lines", () => {
  it("of one turn of the event loop are one write, in their order", async () => {
    const writes: string[] = [];
    const stream = new Writable({
      write: (chunk, _, done) => {
        writes.push(String(chunk));
        done();
      },
    });
    const output = logOutput(stream, () => 0);
    output.write("one\n");
    output.write("two\n");
    expect(writes).toEqual([]);
    await nextTurn();
    output.write("three\n");
    await nextTurn();
    expect(writes).toEqual(["one\ntwo\n", "three\n"]);
  });

  it("of the turn in which the process ends are written, however it ends", () => {
    const program = `
      import { logOutput } from "./src/observe/log-output.ts";
      const output = logOutput(process.stdout, Date.now);
      process.on("exit", () => output.flush());
      output.write("before\\n");
      setTimeout(() => {
        output.write("the line that says why\\n");
        throw new Error("the end");
      }, 10);`;
    const options = { encoding: "utf8" } as const;
    const args = ["--import", "tsx", "--input-type=module", "--eval", program];
    expect(spawnSync(process.execPath, args, options).stdout).toBe("before\nthe line that says why\n");
  });
});
