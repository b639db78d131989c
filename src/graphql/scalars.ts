import { GraphQLError, GraphQLScalarType, Kind, type ValueNode } from "graphql";
import { isCalendarDay } from "../calendar.js";

/** RFC 3339 §5.6; `T` and `Z` may be in lower case, a leap second may not be told. */
const RFC_3339 = /^(\d{4}-\d{2}-\d{2})T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i;

/** ms since 1970 inside, text outside. */
export const DateTime = new GraphQLScalarType<number, string>({
  name: "DateTime",
  description: "An instant in RFC 3339, UTC, with milliseconds, such as `2026-01-31T23:59:59.000Z`.",
  specifiedByURL: "https://scalars.graphql.org/andimarek/date-time.html",
  serialize: (value) => {
    if (typeof value !== "number") throw new TypeError("DateTime is made of milliseconds since 1970");
    return new Date(value).toISOString();
  },
  parseValue: (value) => parseDateTime(value),
  parseLiteral: (node) => parseDateTime(textOf(node), node),
});

/** `node`: where the document has it. */
function parseDateTime(value: unknown, node: ValueNode | null = null): number {
  const date = typeof value === "string" ? RFC_3339.exec(value)?.[1] : undefined;
  if (typeof value === "string" && date !== undefined && isCalendarDay(date)) return Date.parse(value.toUpperCase());
  throw new GraphQLError("A DateTime must be an instant in RFC 3339, such as 2026-01-31T23:59:59Z.", { nodes: node });
}

const COMMUNICATION_USER_ID = /^8:(acs|gcch-acs|dod-acs):[0-9A-Za-z_-]{1,200}$/;

export const CommunicationUserId = new GraphQLScalarType<string, string>({
  name: "CommunicationUserId",
  description: "A raw communication user id, such as `8:acs:<resource guid>_<user guid>`. At most 255 characters.",
  serialize: String,
  parseValue: (value) => parseCommunicationUserId(value),
  parseLiteral: (node) => parseCommunicationUserId(textOf(node), node),
});

function parseCommunicationUserId(value: unknown, node: ValueNode | null = null): string {
  if (typeof value === "string" && COMMUNICATION_USER_ID.test(value)) return value;
  throw new GraphQLError("A CommunicationUserId must read 8:acs:<resource guid>_<user guid>.", { nodes: node });
}

function textOf(node: ValueNode): unknown {
  return node.kind === Kind.STRING ? node.value : undefined;
}
