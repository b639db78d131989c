/** Pages by the Relay connection specification: arguments in, a page and its cursors out. */
import { ArgsType, Field, Int } from "type-graphql";
import { isStorable } from "../text.js";
import { badArgument } from "./bad-argument.js";
import { decodeCursor, encodeCursor } from "./cursor.js";

/** Objects that one page may have, in any list. */
export const MAX_PAGE = 100;

/** As how many objects a connection counts in the cost of an operation: to read a page, and to count all of them, takes that much longer. */
export const PAGE_COST = 5;

@ArgsType()
export class ConnectionArgs {
  @Field(() => Int, { nullable: true, description: "How many from the beginning, or after `after`: 1 to 100." })
  declare readonly first?: number | null;

  @Field(() => String, { nullable: true, description: "A cursor: only what comes after it." })
  declare readonly after?: string | null;

  @Field(() => Int, { nullable: true, description: "How many from the end, or before `before`: 1 to 100." })
  declare readonly last?: number | null;

  @Field(() => String, { nullable: true, description: "A cursor: only what comes before it." })
  declare readonly before?: string | null;
}

export interface PageRequest<Position> {
  readonly size: number;
  readonly backward: boolean;
  readonly after: Position | undefined;
  readonly before: Position | undefined;
}

export interface PagePosition {
  readonly value: number;
  readonly id: string;
}

/** Throws BAD_USER_INPUT that names the argument. `list` is the order that the cursors must belong to. */
export function readPageRequest(args: ConnectionArgs, list: string): PageRequest<PagePosition> {
  const { first, last } = args;
  if ((first ?? null) === null && (last ?? null) === null)
    throw badArgument("first", `is missing: give it or "last", 1 to ${MAX_PAGE}`);
  if (typeof first === "number" && typeof last === "number")
    throw badArgument("last", 'cannot be given together with "first"');
  const backward = typeof last === "number";
  const size = first ?? last ?? 0;
  if (size < 1 || size > MAX_PAGE) throw badArgument(backward ? "last" : "first", `must be 1 to ${MAX_PAGE}`);
  return {
    size,
    backward,
    after: readCursor("after", args.after ?? null, list),
    before: readCursor("before", args.before ?? null, list),
  };
}

export function writeCursor(list: string, { value, id }: PagePosition): string {
  return encodeCursor([list, value, id]);
}

function readCursor(argument: string, cursor: string | null, list: string): PagePosition | undefined {
  if (cursor === null) return undefined;
  const [ownList, value, id] = decodeCursor(cursor);
  const sound = typeof value === "number" && Number.isSafeInteger(value) && typeof id === "string" && isStorable(id);
  if (ownList !== list || !sound) throw badArgument(argument, "is not a cursor of this list in this order");
  return { value, id };
}

/** A page from rows of which one more than asked for was fetched, to know whether there is more. */
export function toPage<Item>(request: PageRequest<unknown>, rows: readonly Item[], cursorOf: (item: Item) => string) {
  const more = rows.length > request.size;
  const nodes = request.backward ? rows.slice(more ? 1 : 0) : rows.slice(0, request.size);
  const edges = nodes.map((node) => ({ cursor: cursorOf(node), node }));
  return {
    edges,
    nodes,
    pageInfo: {
      hasNextPage: request.backward ? request.before !== undefined : more,
      hasPreviousPage: request.backward ? more : request.after !== undefined,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}
