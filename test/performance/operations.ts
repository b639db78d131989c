/**
 * Counts what the gateway does at the borders of its own code: statements, commands, cryptography, writes, timers. What is
 * counted is passed on unchanged. Whose it is follows from the stack: the emulator and the test share the process.
 */
import crypto from "node:crypto";
import { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";
import { DatabaseSync, StatementSync } from "node:sqlite";
import timers from "node:timers/promises";
import { Redis } from "ioredis";
import { Client } from "pg";
import { Counter, Histogram } from "prom-client";
import { callingFile } from "./stack.js";

export type Operation =
  | "sql"
  | "commit"
  | "sync of the trail"
  | "redis command"
  | "crypto"
  | "answer write"
  | "redis write"
  | "postgres write"
  | "timer"
  | "signal"
  | "metric";

/** How often each was done, by what tells one from the other: a statement's text, or a function and the file that called it. */
export type Counts = ReadonlyMap<Operation, ReadonlyMap<string, number>>;

/** Where the gateway's sockets lead. */
export interface Ports {
  readonly answer: number;
  readonly redis: number | undefined;
  readonly postgres: number | undefined;
}

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** What computes or draws; the rest of the module are classes, constants and lists. */
const CRYPTO =
  /^(hash$|sign|verify|create|random|timingSafe|hkdf|pbkdf2|scrypt|argon2|generate|diffie|(en|de)capsulate|(public|private)(En|De))/;
const WRITING = /^(insert|update|delete)|^with\b.*\binsert into\b/is;

export class Operations {
  readonly #undo: (() => void)[] = [];
  #counts: Map<Operation, Map<string, number>> | undefined;
  #ports: Ports | undefined;

  /** Before the gateway starts, which may keep a function for later. */
  static async install(): Promise<Operations> {
    const operations = new Operations();
    operations.#installSqlite();
    operations.#installPostgres();
    operations.#installCrypto();
    operations.#installTimers();
    operations.#installLibraries();
    await operations.#installFiles();
    syncBuiltinESMExports();
    return operations;
  }

  /** What is done while the work runs. */
  async during(ports: Ports, work: () => Promise<void>): Promise<Counts> {
    const counts = new Map<Operation, Map<string, number>>();
    this.#ports = ports;
    this.#counts = counts;
    try {
      await work();
    } finally {
      this.#counts = undefined;
    }
    return counts;
  }

  uninstall(): void {
    for (const undo of this.#undo.splice(0)) undo();
    syncBuiltinESMExports();
  }

  #installSqlite(): void {
    const databases = new WeakMap<object, DatabaseSync>();
    this.#replace(DatabaseSync.prototype, "prepare", (prepare) => {
      return function prepareKnown(this: unknown, ...given: unknown[]) {
        const statement = prepare.apply(this, given) as object;
        databases.set(statement, this as DatabaseSync);
        return statement;
      };
    });
    for (const name of ["all", "get", "run", "iterate"]) {
      this.#wrap(StatementSync.prototype, name, (_, statement) => {
        this.#addStatement((statement as StatementSync).sourceSQL, databases.get(statement)?.isTransaction === true);
      });
    }
    this.#wrap(DatabaseSync.prototype, "exec", ([text]) => this.#add("sql", String(text)));
  }

  #installPostgres(): void {
    const busy = new WeakSet<object>();
    this.#wrap(Client.prototype, "query", ([query], client) => {
      const text = typeof query === "string" ? query : (query as { text: string }).text;
      this.#addStatement(text, busy.has(client));
      if (/^(begin|start)/i.test(text)) busy.add(client);
      if (/^(commit|rollback)$/i.test(text)) busy.delete(client);
    });
  }

  #installCrypto(): void {
    for (const name of Object.keys(crypto).filter((each) => CRYPTO.test(each))) {
      this.#wrap(crypto, name, ([first]) => this.#addCall("crypto", name, first));
    }
    const subtle = Object.getPrototypeOf(crypto.webcrypto.subtle) as object;
    for (const name of Object.getOwnPropertyNames(subtle).filter((each) => each !== "constructor")) {
      this.#wrap(subtle, name, ([first]) => this.#addCall("crypto", `subtle.${name}`, first));
    }
  }

  /** An interval is not made for one request. */
  #installTimers(): void {
    for (const name of ["setTimeout", "setImmediate"]) {
      for (const owner of [globalThis, timers]) {
        this.#wrap(owner, name, (given) => {
          const delay = given.find((each) => typeof each === "number");
          this.#addCall("timer", name, delay === undefined ? undefined : `${delay} ms`);
        });
      }
    }
    for (const name of ["timeout", "any"]) {
      this.#wrap(AbortSignal, name, () => this.#addCall("signal", `AbortSignal.${name}`));
    }
    this.#replace(globalThis, "AbortController", (controller) => {
      const construct = (made: Method, given: unknown[], newTarget: Method): object => {
        this.#addCall("signal", "AbortController");
        return Reflect.construct(made, given, newTarget) as object;
      };
      return new Proxy(controller, { construct });
    });
  }

  #installLibraries(): void {
    this.#wrap(Redis.prototype, "sendCommand", ([command]) => {
      this.#add("redis command", (command as { name: string }).name);
    });
    // What prom-client's `inc` and `observe` come to.
    this.#wrap(Counter.prototype, "incWithoutExemplar", (_, metric) => this.#addMetric(metric));
    this.#wrap(Histogram.prototype, "observeWithoutExemplar", (_, metric) => this.#addMetric(metric));
  }

  async #installFiles(): Promise<void> {
    // Each call is one to the system, or waits its turn.
    this.#wrap(Socket.prototype, "_writeGeneric", (_, socket) => this.#addWrite(socket as Socket));
    const file = await open("/dev/null");
    const handle = Object.getPrototypeOf(file) as object;
    await file.close();
    for (const name of ["datasync", "sync"]) this.#wrap(handle, name, () => this.#addCall("sync of the trail", name));
  }

  #addStatement(text: string, isInTransaction: boolean): void {
    this.#add("sql", text);
    if (/^commit$/i.test(text) || (!isInTransaction && WRITING.test(text))) this.#add("commit", text);
  }

  /** The process has metrics of its own, for its garbage collector above all. */
  #addMetric(metric: object): void {
    const { name } = metric as { readonly name: string };
    if (name.startsWith("gateway_")) this.#add("metric", name);
  }

  #addWrite({ localPort, remotePort }: Socket): void {
    const { answer, redis, postgres } = this.#ports ?? {};
    // The client's end of the connection has the same ports the other way round.
    if (localPort === answer) this.#add("answer write", "to the client");
    else if (remotePort !== undefined && remotePort === redis) this.#add("redis write", "to Redis");
    else if (remotePort !== undefined && remotePort === postgres) this.#add("postgres write", "to Postgres");
  }

  #addCall(operation: Operation, name: string, detail?: unknown): void {
    this.#add(operation, typeof detail === "string" ? `${name} ${detail}` : name, "with its file");
  }

  #add(operation: Operation, label: string, told?: "with its file"): void {
    if (this.#counts === undefined) return;
    const file = callingFile();
    if (file === undefined) return;
    const key = told ? `${label} in ${file}` : label;
    const labels = this.#counts.get(operation) ?? new Map<string, number>();
    labels.set(key, (labels.get(key) ?? 0) + 1);
    this.#counts.set(operation, labels);
  }

  #wrap(owner: object, name: string, count: (given: readonly unknown[], self: object) => void): void {
    this.#replace(owner, name, (original) => {
      return function counted(this: unknown, ...given: unknown[]) {
        count(given, this as object);
        return original.apply(this, given);
      };
    });
  }

  /** Throws when the name is not there any more: what is not counted would look like nothing. */
  #replace(owner: object, name: string, change: (original: Method) => Method): void {
    const own = Object.getOwnPropertyDescriptor(owner, name);
    const original: unknown = Reflect.get(owner, name);
    if (own === undefined || typeof original !== "function") throw new Error(`there is no ${name} to count`);
    const value = withTraitsOf(original, change(original as Method));
    Object.defineProperty(owner, name, {
      value,
      writable: true,
      configurable: true,
      enumerable: own.enumerable === true,
    });
    this.#undo.push(() => Object.defineProperty(owner, name, own));
  }
}

/** Node hangs other forms of a function on it, such as the one for `promisify`. */
function withTraitsOf(original: object, replacement: Method): Method {
  for (const key of Reflect.ownKeys(original)) {
    if (key === "length" || key === "name" || key === "prototype") continue;
    Object.defineProperty(replacement, key, Object.getOwnPropertyDescriptor(original, key) ?? {});
  }
  return replacement;
}
