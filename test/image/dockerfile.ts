import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Copy, DockerfileParser, Entrypoint, Env, From, type Instruction } from "dockerfile-ast";

/** What a stage has come to; `folder` stands for its root. */
export interface Stage {
  readonly folder: string;
  workdir: string;
  readonly env: Record<string, string>;
  entrypoint: readonly string[];
  command: readonly string[];
  healthcheck: readonly string[];
  /** Folders and files that belong to whom the image runs as. */
  readonly owned: string[];
}

interface BuildOptions {
  /** The project. */
  readonly context: string;
  /** Where stages are made. */
  readonly into: string;
  /** What is run gets this, as the base image would have it. */
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** The user of the image. */
  readonly user: number | undefined;
}

/**
 * Carries out a Dockerfile in folders, for want of a container engine: stage by stage, step by step, on this machine in place of
 * the base images. Knows the instructions that ours has, and throws at any other.
 */
export function build({ context, into, env, user }: BuildOptions): Stage {
  const clean = cleanContext(context, join(into, "context"));
  const stages = new Map<string, Stage>();
  let stage = newStage(into, "none");
  for (const instruction of DockerfileParser.parse(
    readFileSync(join(context, "Dockerfile"), "utf8"),
  ).getInstructions()) {
    if (instruction instanceof From) {
      const name = instruction.getBuildStage() ?? "final";
      stage = newStage(into, name);
      stages.set(name, stage);
    } else if (instruction instanceof Copy) copy(stage, instruction, { clean, stages, user });
    else step(stage, instruction, env);
  }
  return stage;
}

function newStage(into: string, name: string): Stage {
  const folder = join(into, name);
  mkdirSync(folder, { recursive: true });
  return { folder, workdir: "/", env: {}, entrypoint: [], command: [], healthcheck: [], owned: [] };
}

/** Of the project only what .dockerignore lets in: nothing, but for what is named. */
function cleanContext(context: string, clean: string): string {
  const [all, ...names] = readFileSync(join(context, ".dockerignore"), "utf8").trim().split("\n");
  if (all !== "*" || names.some((name) => !/^![\w.-]+$/.test(name)))
    throw new Error(".dockerignore is not of the form here");
  for (const name of names.map((line) => line.slice(1)))
    cpSync(join(context, name), join(clean, name), { recursive: true });
  return clean;
}

interface Sources {
  readonly clean: string;
  readonly stages: ReadonlyMap<string, Stage>;
  readonly user: number | undefined;
}

function copy(stage: Stage, instruction: Copy, { clean, stages, user }: Sources): void {
  const words = instruction.getArguments().map((word) => word.getValue());
  const target = words.pop() ?? "";
  const flags = new Map(instruction.getFlags().map((flag) => [flag.getName(), flag.getValue()]));
  const from = flags.get("from");
  const origin = from ? (stages.get(from)?.folder ?? "unknown") : clean;
  const isFolder = target.endsWith("/") || words.length > 1;
  for (const source of words) {
    const place = join(stage.folder, resolve(stage.workdir, target));
    const found = join(origin, source);
    const goal = isFolder && statSync(found).isFile() ? join(place, basename(source)) : place;
    cpSync(found, goal, { recursive: true, verbatimSymlinks: true });
    if (flags.get("chown") === undefined) continue;
    stage.owned.push(goal);
    if (user !== undefined) chownSync(goal, user, user);
  }
}

function step(stage: Stage, instruction: Instruction, env: Readonly<NodeJS.ProcessEnv>): void {
  const text = instruction.getArgumentsContent() ?? "";
  const run = () => {
    const options = { cwd: join(stage.folder, stage.workdir), env: { ...env, ...stage.env }, stdio: "pipe" } as const;
    execFileSync("sh", ["-c", text], options);
  };
  const steps: Readonly<Record<string, () => void>> = {
    RUN: run,
    WORKDIR: () => {
      stage.workdir = resolve(stage.workdir, text);
      mkdirSync(join(stage.folder, stage.workdir), { recursive: true });
    },
    ENV: () => {
      const properties = instruction instanceof Env ? instruction.getProperties() : [];
      for (const property of properties) stage.env[property.getName()] = property.getValue() ?? "";
    },
    ENTRYPOINT: () => {
      stage.entrypoint = instruction instanceof Entrypoint ? exec(text) : [];
    },
    CMD: () => {
      stage.command = exec(text);
    },
    HEALTHCHECK: () => {
      stage.healthcheck = exec(text.slice(text.indexOf("[")));
    },
    // They say things to who runs the image.
    LABEL: () => {},
    EXPOSE: () => {},
    VOLUME: () => {},
  };
  const known = steps[instruction.getKeyword()];
  if (known === undefined) throw new Error(`${instruction.getKeyword()} is not known here`);
  known();
}

/** The form without a shell. */
function exec(text: string): readonly string[] {
  return JSON.parse(text) as readonly string[];
}

/** As `docker run --read-only`, for whoever is not root. */
export function makeReadOnly({ folder, owned }: Stage): void {
  execFileSync("chmod", ["-R", "a-w,a+rX", folder]);
  for (const place of owned) chmodSync(place, 0o700);
}
