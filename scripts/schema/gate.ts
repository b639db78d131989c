/**
 * What a change of the schema does to those who use the released one, by the rules of GraphQL Inspector. What would break
 * them is refused, unless it was announced in time or comes with a new major version.
 */
import { type Change, ChangeType, CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema, type GraphQLSchema, isObjectType } from "graphql";
import { deprecationsIn, removableFrom, whyNoAnnouncement } from "./deprecation.js";
import { isRequiredAt } from "./required.js";

/** The two variants, as SDL. */
export interface Variants {
  readonly schema: string;
  readonly public: string;
}

interface Question {
  readonly released: Variants;
  readonly current: Variants;
  readonly releasedVersion: string;
  /** Of the current schema: the released one until somebody raises it. */
  readonly version: string;
  /** ms since 1970 */
  readonly today: number;
}

/** A line for each change. */
interface Verdict {
  readonly refused: readonly string[];
  readonly allowed: readonly string[];
}

export async function judge(question: Question): Promise<Verdict> {
  const { released, current, today } = question;
  const before = buildSchema(released.schema);
  const after = buildSchema(current.schema);
  const forApps = await changesBetween(buildSchema(released.public), buildSchema(current.public));
  const forOperators = await changesBetween(before, after);
  const refused = faultyAnnouncements(before, after, today);
  const allowed: string[] = [];
  for (const [line, { change, level }] of new Map([...forApps, ...forOperators])) {
    const audience = [forApps.has(line) ? "apps" : [], forOperators.has(line) ? "operators" : []].flat().join(" and ");
    const isBreaking = level === CriticalityLevel.Breaking;
    const excuse = isBreaking ? excuseFor(change, before, question) : WORDS[level];
    if (excuse === undefined) refused.push(`breaks ${audience}: ${line}`);
    else allowed.push(`${excuse}, ${audience}: ${line}`);
  }
  return { refused, allowed };
}

const WORDS: Readonly<Record<CriticalityLevel, string>> = {
  [CriticalityLevel.NonBreaking]: "safe",
  [CriticalityLevel.Dangerous]: "dangerous",
  [CriticalityLevel.Breaking]: "breaking",
};

interface Judged {
  readonly change: Change;
  readonly level: CriticalityLevel;
}

/** Of these the SDL only tells: what an operation costs, and what is deprecated, which is looked at for itself. */
const TELLING: readonly string[] = ["cost", "listSize", "deprecated"];

/** By what they say. */
async function changesBetween(before: GraphQLSchema, after: GraphQLSchema): Promise<Map<string, Judged>> {
  const changes = await diff(before, after);
  const told = changes.filter(({ type, path = "" }) => {
    // Descriptions break nobody.
    if (/_DESCRIPTION_/.test(type)) return false;
    if (/^DIRECTIVE_/.test(type) && TELLING.includes(/@(\w+)/.exec(path)?.[1] ?? "")) return false;
    return type === ChangeType.TypeAdded || type === ChangeType.DirectiveAdded || !isInNew(path, before);
  });
  return new Map(
    told.map((change) => [change.message.replace(/\.?$/, "."), { change, level: levelOf(change, before, after) }]),
  );
}

/** What is in a new type, or of a new directive, is new. */
function isInNew(path: string, before: GraphQLSchema): boolean {
  const [owner = ""] = path.split(".");
  if (owner.startsWith("@")) return before.getDirective(owner.slice(1)) === undefined;
  return owner !== "" && before.getType(owner) === undefined;
}

const DEFAULTS: readonly string[] = [
  ChangeType.FieldArgumentDefaultChanged,
  ChangeType.InputFieldDefaultValueChanged,
  ChangeType.DirectiveArgumentDefaultValueChanged,
];

/** Inspector finds every other default dangerous, and so the lack of one, too: which breaks those who leave the thing out. */
function levelOf(
  { type, path = "", criticality }: Change,
  before: GraphQLSchema,
  after: GraphQLSchema,
): CriticalityLevel {
  const isRequiredNow = DEFAULTS.includes(type) && isRequiredAt(after, path) && !isRequiredAt(before, path);
  return isRequiredNow ? CriticalityLevel.Breaking : criticality.level;
}

const REMOVALS: readonly string[] = [
  ChangeType.FieldRemoved,
  ChangeType.FieldArgumentRemoved,
  ChangeType.InputFieldRemoved,
  ChangeType.EnumValueRemoved,
];

/** Why a breaking change may be made all the same. */
function excuseFor(
  { type, path = "" }: Change,
  before: GraphQLSchema,
  { version, releasedVersion, today }: Question,
): string | undefined {
  if (compatibilityOf(version) > compatibilityOf(releasedVersion)) return "new major version";
  if (REMOVALS.includes(type)) {
    const from = removableFrom(deprecationsIn(before).get(path) ?? "");
    return from !== undefined && from <= today ? "announced" : undefined;
  }
  // Whoever could name it did so by way of a field, whose own removal is judged; or of an interface.
  const removed = type === ChangeType.TypeRemoved ? before.getType(path) : undefined;
  return removed && !(isObjectType(removed) && removed.getInterfaces().length > 0) ? "with its last use" : undefined;
}

/** Versions with the same number are compatible: the major one, and before 1.0 the minor one (semver.org §4). */
function compatibilityOf(version: string): number {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major === 0 ? minor / 1_000_000 : major;
}

/** An announcement is looked at when it is made or changed. */
function faultyAnnouncements(before: GraphQLSchema, after: GraphQLSchema, today: number): string[] {
  const known = deprecationsIn(before);
  return [...deprecationsIn(after)].flatMap(([place, reason]) => {
    const earlier = known.get(place);
    const why = earlier === reason ? undefined : whyNoAnnouncement(reason, { earlier, today });
    return why === undefined ? [] : [`deprecates ${place} in another way than the policy says: ${why}.`];
  });
}
