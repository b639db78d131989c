/** How a removal is announced, as docs/schema.md tells it: by the reason of a `@deprecated`. */
import { type GraphQLSchema, isEnumType, isInputObjectType, isInterfaceType, isObjectType } from "graphql";

/** How long before its removal a thing is announced, at least. */
const NOTICE_DAYS = 180;
const DAY_MS = 86_400_000;

const FORM = /^Since \d+\.\d+\.\d+, until (\d{4}-\d{2}-\d{2}): \S/;
const EXAMPLE = "Since 1.4.0, until 2027-06-30: use `refreshAfter`.";

/** ms since 1970 of the day from which on it may be removed; undefined for a reason that has not the form. */
export function removableFrom(reason: string): number | undefined {
  const day = FORM.exec(reason)?.[1];
  const instant = Date.parse(`${day}T00:00:00Z`);
  // Date.parse takes a 31st of February for the 3rd of March.
  return Number.isNaN(instant) || dayOf(instant) !== day ? undefined : instant;
}

function dayOf(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

interface Circumstances {
  /** The reason that was released; undefined for what is deprecated anew. */
  readonly earlier: string | undefined;
  /** ms since 1970 */
  readonly today: number;
}

/** What is wrong with an announcement that is made or changed today; undefined when nothing is. */
export function whyNoAnnouncement(reason: string, { earlier = "", today }: Circumstances): string | undefined {
  const from = removableFrom(reason);
  if (from === undefined) return `give a reason such as "${EXAMPLE}"`;
  const promised = removableFrom(earlier);
  const earliest = promised ?? today + NOTICE_DAYS * DAY_MS;
  if (from >= earliest) return undefined;
  const rule = promised === undefined ? `give ${NOTICE_DAYS} days' notice` : "the day cannot be brought forward";
  return `${rule}: until ${dayOf(earliest)} at the earliest`;
}

/** The reasons of all that is deprecated, by place: `Type.field`, `Type.field.argument`, `Input.field`, `Enum.VALUE`. */
export function deprecationsIn(schema: GraphQLSchema): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  const note = (place: string, { deprecationReason }: { deprecationReason?: string | null | undefined }) => {
    if (typeof deprecationReason === "string") reasons.set(place, deprecationReason);
  };
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith("__")) continue;
    if (isEnumType(type)) for (const value of type.getValues()) note(`${type.name}.${value.name}`, value);
    if (isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) note(`${type.name}.${field.name}`, field);
    }
    if (!isObjectType(type) && !isInterfaceType(type)) continue;
    for (const field of Object.values(type.getFields())) {
      note(`${type.name}.${field.name}`, field);
      for (const argument of field.args) note(`${type.name}.${field.name}.${argument.name}`, argument);
    }
  }
  return reasons;
}
