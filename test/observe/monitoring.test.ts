import { existsSync, readFileSync } from "node:fs";
import { parser } from "@prometheus-io/lezer-promql";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { errorKind } from "../../src/errors.js";
import { Metrics } from "../../src/observe/metrics.js";
import { parsePage } from "../docs/markdown.js";
import { Rig } from "../fixtures/rig.js";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { groups } = parse(readFileSync("deploy/monitoring/prometheus-rules.yaml", "utf8")) as {
  groups: { name: string; rules: Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(readFileSync("deploy/monitoring/grafana-dashboard.json", "utf8")) as { panels: Panel[] };
const panels = dashboard.panels.filter(({ type }) => type !== "row");
const objectives = [...readFileSync("docs/slo.md", "utf8").matchAll(/```promql\n([\s\S]*?)```/g)].map(
  ([, expr]) => expr ?? "",
);

const expressions: [name: string, expr: string][] = [
  ...rules.map(({ alert, expr }): [string, string] => [`alert ${alert}`, expr]),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }): [string, string] => [`panel ${title}`, expr])),
  ...objectives.map((expr, index): [string, string] => [`objective ${index + 1}`, expr]),
];

/** What a query speaks of, read by Prometheus' own grammar. */
function read(expr: string) {
  // Grafana's own words, in the places of a duration.
  const text = expr.replaceAll("$__rate_interval", "5m").replaceAll("$job", ".*").replaceAll("$instance", ".*");
  const found = { errors: 0, metrics: new Set<string>(), labels: new Set<string>(), values: [] as [string, string][] };
  parser.parse(text).iterate({
    enter: ({ name, from, to, node, type }) => {
      const word = text.slice(from, to);
      if (type.isError) found.errors += 1;
      if (name === "Identifier" && node.parent?.name === "VectorSelector") found.metrics.add(word);
      if (name === "LabelName") found.labels.add(word);
      if (name !== "UnquotedLabelMatcher") return;
      const [, label = "", value = ""] = /^(\w+)\s*=~?\s*"(.*)"$/.exec(word) ?? [];
      found.labels.add(label);
      found.values.push([label, value]);
    },
  });
  return found;
}

/** A value of a label whose values are ours to choose. */
const isClosed = (label: string, value: string) =>
  ["outcome", "reason", "operation"].includes(label) && !value.includes("*");

let rig: Rig;
let text: string;
let served: Map<string, string>;
let labels: Map<string, readonly string[]>;

beforeAll(async () => {
  rig = await Rig.start();
  text = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
  served = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]));
  labels = new Map((await new Metrics().list()).map(({ name, labels }) => [name, labels]));
});
afterAll(() => rig.close());

/** The metric that a series belongs to. */
const metricOf = (series: string) =>
  [series, series.replace(/_(bucket|count|sum)$/, "")].find((name) => served.has(name)) ?? "";

describe("the dashboard, the alert rules and the objectives", () => {
  it("are all seen by this test", () => {
    expect([rules.length, panels.length, objectives.length].map((count) => count > 2)).toEqual([true, true, true]);
    expect(expressions.length).toBeGreaterThan(60);
  });

  it.each(expressions)("ask for what the gateway has: %s", (_, expr) => {
    const { errors, metrics, labels: named, values } = read(expr);
    expect(errors).toBe(0);
    expect(metrics.size).toBeGreaterThan(0);
    for (const series of metrics) expect(metricOf(series), series).not.toBe("");
    const known = new Set([
      "job",
      "instance",
      "le",
      ...[...metrics].flatMap((series) => labels.get(metricOf(series)) ?? []),
    ]);
    expect([...named].filter((label) => !known.has(label))).toEqual([]);
    // Each that a query asks for is there from the start, of every closed set.
    const told = [...metrics].flatMap((series) =>
      [...text.matchAll(new RegExp(`^${metricOf(series)}[^ ]*`, "gm"))].join(),
    );
    const strays = values.filter(
      ([label, value]) => isClosed(label, value) && !told.join().includes(`${label}="${value}"`),
    );
    expect(strays).toEqual([]);
    const codes = values.filter(([label]) => label === "code").flatMap(([, value]) => value.split("|"));
    expect(codes.filter((code) => code !== "OK" && errorKind(code) === undefined)).toEqual([]);
  });

  it("rate what only grows, and nothing else", () => {
    const strays = expressions.flatMap(([name, expr]) =>
      [...expr.matchAll(/(rate|increase|delta)\((\w+)/g)].flatMap(([, how, series = ""]) => {
        const isGauge = served.get(metricOf(series)) === "gauge";
        return isGauge === (how === "delta") ? [] : [`${name}: ${how}(${series})`];
      }),
    );
    expect(strays).toEqual([]);
  });

  it("show every metric of the gateway's own, somewhere", () => {
    const shown = new Set(expressions.flatMap(([, expr]) => [...read(expr).metrics].map(metricOf)));
    const own = [...served.keys()].filter((name) => name.startsWith("gateway_"));
    // For who looks for a reason.
    const traces = ["gateway_trace_spans_lost_total", "gateway_trace_spans_sent_total"];
    const spared = ["gateway_audit_unlisted", "gateway_build_info", ...traces, "gateway_untrusted_documents_total"];
    expect(own.filter((name) => !shown.has(name)).sort()).toEqual(spared);
  });

  it("say of each alert what it means and what to do, and whom it wakes", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations } of rules) {
      expect(Object.keys(annotations), alert).toEqual(["summary", "action", "runbook"]);
      expect(["page", "ticket"], alert).toContain(labels.severity);
    }
  });

  it("lead from each alert to a page, and from the list of what can be seen to the same", () => {
    const rows = readFileSync("docs/operations.md", "utf8").match(/^\| .*$/gm) ?? [];
    for (const { alert, annotations } of rules) {
      const [file = "", anchor] = annotations.runbook?.split("#") ?? [];
      expect(existsSync(file), `${alert}: ${file}`).toBe(true);
      if (anchor) expect(parsePage(readFileSync(file, "utf8")).anchors, alert).toContain(anchor);
      if (!file.startsWith("docs/incidents/")) continue;
      const row = rows.find((text) => text.includes(`\`${alert}\``));
      expect(row, alert).toContain(`(${file.replace("docs/", "")})`);
    }
  });

  it("have panels that lie side by side, each with a word on what it shows", () => {
    for (const { title, description, gridPos } of panels) {
      expect(description, title).not.toBe("");
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    }
    const places = panels.map(({ gridPos: { x, y } }) => `${x} ${y}`);
    expect(new Set(places).size).toBe(places.length);
  });
});
