/**
 * What a change of the schema does to those who use the released one, by the rules of GraphQL Inspector. What would break
 * them is refused, unless it was announced in time or comes with a new major version.
 */
import { type Change, ChangeType, CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema, type GraphQLSchema, isObjectType } from "graphql";
import { deprecationsIn, removableFrom, whyNoAnnouncement } from "./deprecation.js";

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
  for (const [line, change] of new Map([...forApps, ...forOperators])) {
    const audience = [forApps.has(line) ? "apps" : [], forOperators.has(line) ? "operators" : []].flat().join(" and ");
    const isBreaking = change.criticality.level === CriticalityLevel.Breaking;
    const excuse = isBreaking ? excuseFor(change, before, question) : WORDS[change.criticality.level];
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

/** By what they say. */
async function changesBetween(before: GraphQLSchema, after: GraphQLSchema): Promise<Map<string, Change>> {
  const changes = await diff(before, after);
  const told = changes.filter(({ type, path }) => {
    // Descriptions break nobody, and directives are no part of what is executed.
    if (/^DIRECTIVE_|_DESCRIPTION_/.test(type)) return false;
    // What is in a new type is new.
    const isInNewType = path !== undefined && before.getType(path.split(".")[0] ?? "") === undefined;
    return type === ChangeType.TypeAdded || !isInNewType;
  });
  return new Map(told.map((change) => [`${change.message}.`, change]));
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

/** An announcement counts from when it is made or changed, so it is looked at then. */
function faultyAnnouncements(before: GraphQLSchema, after: GraphQLSchema, today: number): string[] {
  const known = deprecationsIn(before);
  return [...deprecationsIn(after)].flatMap(([place, reason]) => {
    const why = known.get(place) === reason ? undefined : whyNoAnnouncement(reason, today);
    return why === undefined ? [] : [`deprecates ${place} in another way than the policy says: ${why}.`];
  });
}
