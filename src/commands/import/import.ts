import { setTimeout } from "node:timers/promises";
import type { Config } from "../../config/config.js";
import { GatewayError, StartError } from "../../errors.js";
import type { Adopted } from "../../identities/adoption.js";
import {
  type Mapping,
  MappingRefused,
  type MappingRules,
  readMapping,
  resourceIdOf,
} from "../../identities/mapping.js";
import type { Host } from "../host.js";
import type { Row } from "../mappings/row.js";
import { Ticker } from "../output.js";
import type { Report } from "./report.js";
import type { Target } from "./target.js";

/** Rows that are looked up, recorded and added together. */
const BATCH = 200;
/** How often a batch is tried while the database or the trail is away; between tries 0.5 s, then twice as long each time. */
const MOST_TRIES = 6;
const FIRST_PAUSE_MS = 500;

export interface ImportOptions {
  /** As the operator says it, a GUID in lower case. */
  readonly resourceId: string | undefined;
  /** Rows before it are passed over. */
  readonly fromLine: number;
  /** Besides the configured ones. */
  readonly issuers: readonly string[];
}

interface ImportParts {
  readonly target: Target;
  readonly config: Config;
  readonly report: Report;
  readonly host: Host;
  readonly stopped: AbortSignal;
  readonly options: ImportOptions;
}

interface Candidate {
  readonly line: number;
  readonly content: Mapping | MappingRefused;
}

/** One run through a file. */
export class Import {
  readonly #parts: ImportParts;
  readonly #ticker: Ticker;
  #rules: MappingRules | undefined;

  constructor(parts: ImportParts) {
    this.#parts = parts;
    this.#ticker = new Ticker(parts.host);
  }

  /** True when every row was looked at, false when it was stopped before. Throws a `StartError` when it cannot go on. */
  async run(rows: AsyncIterable<Row>): Promise<boolean> {
    const { options, stopped, config } = this.#parts;
    // All of a batch are recorded at once.
    const most = Math.min(BATCH, config.audit.queueSize);
    let batch: Candidate[] = [];
    let last = 0;
    for await (const row of untilStopped(rows, stopped)) {
      if (stopped.aborted) return false;
      last = row.line;
      if (row.line < options.fromLine) continue;
      batch.push({ line: row.line, content: this.#read(row) });
      if (batch.length < most) continue;
      await this.#carryOut(batch);
      batch = [];
    }
    if (stopped.aborted) return false;
    // Behind the last one there is nothing left to do, for who was stopped there.
    if (options.fromLine > last + 1)
      throw new StartError(`The file ends before line ${options.fromLine}: correct --from-line.`);
    await this.#carryOut(batch);
    return true;
  }

  #read({ content }: Row): Mapping | MappingRefused {
    if (content instanceof MappingRefused) return content;
    this.#rules ??= this.#makeRules(content.communicationUserId ?? "");
    try {
      return readMapping(content, this.#rules);
    } catch (error) {
      if (error instanceof MappingRefused) return error;
      throw error;
    }
  }

  /** `example`: an id in the file. To go by that alone would take a list of another resource for one of this. */
  #makeRules(example: string): MappingRules {
    const { config, options, target } = this.#parts;
    const { resource, known } = target;
    const knownId = known === undefined ? undefined : resourceIdOf(known);
    const saidId = options.resourceId;
    if (saidId !== undefined && knownId !== undefined && saidId !== knownId) {
      throw new StartError(
        `The identities in the database are of the resource ${knownId}: correct --resource-id, or connect to the resource that it is of.`,
      );
    }
    const resourceId = saidId ?? knownId;
    if (resourceId === undefined) throw new StartError(askForResource(resource, resourceIdOf(example)));
    return { issuers: [...config.issuers.map(({ issuer }) => issuer), ...options.issuers], resource, resourceId };
  }

  async #carryOut(batch: readonly Candidate[]): Promise<void> {
    const { report } = this.#parts;
    const mappings = batch.flatMap(({ content }) => (content instanceof MappingRefused ? [] : [content]));
    const results = await this.#adopt(mappings);
    for (const { line, content } of batch) {
      const result = content instanceof MappingRefused ? content : results.get(content);
      if (result !== undefined) await report.add(line, result);
    }
    this.#ticker.tick(() => report.describe());
  }

  /** What is in stays in, so a batch may be tried again. */
  async #adopt(mappings: readonly Mapping[]): Promise<ReadonlyMap<Mapping, Adopted>> {
    const { target, host, stopped } = this.#parts;
    for (let tries = 1; ; tries++) {
      try {
        return await target.adoption.adopt(mappings);
      } catch (error) {
        if (!(error instanceof GatewayError) || tries === MOST_TRIES || stopped.aborted) throw error;
        host.report(`${error.message} Trying again.`);
        await setTimeout(FIRST_PAUSE_MS * 2 ** (tries - 1), undefined, { signal: stopped }).catch(() => {});
      }
    }
  }
}

/** What was stopped in the middle ends as no file does, by itself or as its writer was stopped, too. */
async function* untilStopped(rows: AsyncIterable<Row>, stopped: AbortSignal): AsyncGenerator<Row> {
  try {
    yield* rows;
  } catch (error) {
    if (!stopped.aborted) throw error;
  }
}

function askForResource(resource: string, found: string | undefined): string {
  const example = found === undefined ? "" : `; the file begins with one of ${found}`;
  return `Nobody can tell yet which ids are of ${resource}${example}: look up its Immutable Resource Id (in the Azure portal under Properties, or in an id that \`doctor --write\` makes), and say it with --resource-id.`;
}
