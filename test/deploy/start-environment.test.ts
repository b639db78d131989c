import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { START_ENVIRONMENT } from "../../scripts/start-environment.js";

it.each([
  ["the image", "Dockerfile", /\b([A-Z_]+)=(?:"([^"]+)"|(\S+))/g],
  ["Kubernetes", "deploy/kubernetes/base/settings.env", /^([A-Z_]+)=(.+)$/gm],
  ["Container Apps", "deploy/container-apps/modules/app.bicep", /name: '([A-Z_]+)'\n *value: '([^']+)'/g],
])("%s tells Node and its C library what npm start does", (_, file, setting) => {
  const settings = [...readFileSync(file, "utf8").matchAll(setting)].map(([, name, ...values]) => [
    name,
    values.find((value) => value !== undefined),
  ]);
  expect(Object.fromEntries(settings)).toMatchObject(START_ENVIRONMENT);
});
