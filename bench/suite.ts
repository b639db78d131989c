/**
 * A suite measures one thing and returns tables. Whatever it measures it measures beside its peer, in turns (`alternate`), so
 * that a figure is worth something on any machine: as a ratio. `run.ts` picks suites, and `record.ts` writes what they return to
 * RESULTS.md.
 */
export interface Suite {
  /** What is measured and how; Markdown. */
  readonly about: string;
  measure(options: BenchOptions): Promise<Measured>;
}

export interface BenchOptions {
  /** How often each peer has its turn. */
  readonly rounds: number;
  /** How long a turn under load is. */
  readonly seconds: number;
  /** In the long trail. */
  readonly records: number;
  /** Of each kind, in a turn of asking a trail. */
  readonly queries: number;
  /** Of each server whose memory is watched. */
  readonly answers: number;
  /** In the large store. */
  readonly identities: number;
  /** Requests a second, where each mints at the service. */
  readonly arrivals: number;
  /** Of those who ask for too much. */
  readonly connections: number;
  /** Databases that are there from a run before are made anew. */
  readonly fresh: boolean;
  /** Databases stay for the next run. */
  readonly keep: boolean;
  /** A server on which databases can be made. */
  readonly postgres: string | undefined;
  /** For what is to last until the next run. */
  readonly folder: string;
  /** About what is under way. */
  say(line: string): void;
}

export interface Measured {
  readonly tables: readonly Table[];
  /** What whoever reads the figures has to know, and only this run knows. */
  readonly notes: readonly string[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}
