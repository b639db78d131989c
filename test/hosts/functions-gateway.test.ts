import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { FunctionsGateway } from "../../src/hosts/functions-gateway.js";

it("is tried again a second after a start that fails at once, such as by its settings", async () => {
  let milliseconds = 0;
  const lines: string[] = [];
  const gateway = new FunctionsGateway({
    env: { HTTP_AUTH_LEVEL: "everybody" },
    logDestination: { write: (line) => void lines.push(line), flush: () => {} },
    standardOutput: new PassThrough(),
    standardError: new PassThrough(),
    elapsed: () => milliseconds,
  });
  const failures = () => lines.filter((line) => line.includes("HTTP_AUTH_LEVEL is anonymous or function.")).length;
  expect(await gateway.begin()).toBeUndefined();
  expect(await gateway.begin()).toBeUndefined();
  expect(failures()).toBe(1);
  milliseconds = 1000;
  expect(await gateway.begin()).toBeUndefined();
  expect(failures()).toBe(2);
  await gateway.close();
});
