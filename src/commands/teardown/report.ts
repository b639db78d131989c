/** What a teardown says: what there is, how far it is, and what is left. */
import type { ServiceWork } from "../../identities/service-work.js";
import type { Inventory } from "../../store/inventory-store.js";

/** Of what could not be deleted, so many are named. */
const MOST_NAMED = 20;
/** Who has written to the trail since then may be a gateway that serves. */
const LATELY_MS = 5 * 60_000;

/** How many there are to delete. */
export function totalOf({ identities, surplus, lost }: Inventory): number {
  return identities.reduce((sum, { count }) => sum + count, 0) + surplus + lost;
}

export function describeStock(stock: Inventory, resource: string, now: number): string[] {
  const { identities, surplus, lost, examples, lastRecordAt } = stock;
  const total = totalOf(stock);
  const lines = [`${total} identities of ${resource}`];
  const ofIssuer = Map.groupBy(identities, ({ issuer }) => issuer ?? "no issuer");
  for (const [issuer, counted] of ofIssuer) {
    lines.push(`  ${issuer}: ${counted.map(({ status, count }) => `${count} ${status}`).join(", ")}`);
  }
  if (surplus > 0) lines.push(`  without a user: ${surplus}, which are being deleted in any case`);
  if (lost > 0) lines.push(`  lost: ${lost}, which the service did not know when it was asked for a token`);
  if (examples.length > 0) lines.push(`such as ${examples.join(", ")}`);
  lines.push(...describeUntouched(stock));
  if (total === 0) return [...lines, "there is nothing to delete"];
  if (lastRecordAt !== undefined && now - lastRecordAt < LATELY_MS) {
    const seconds = Math.max(0, Math.round((now - lastRecordAt) / 1000));
    lines.push(`the audit trail was written to ${seconds} s ago: a gateway may be serving`);
  }
  lines.push(
    "nothing was deleted: stop every gateway, for a user who comes to one gets a new identity; then, to delete all of it for good, with its chats:",
    `  teardown --confirm ${resource}`,
  );
  return lines;
}

function describeUntouched({ elsewhere, inDoubt }: Inventory): string[] {
  return [
    ...elsewhere.map(
      ({ resource, count }) => `not touched: ${count} of ${resource}: connect to that resource to delete them`,
    ),
    ...(inDoubt === 0
      ? []
      : [`${inDoubt} attempts in doubt: the service may have made an identity in each, and nobody knows its id`]),
  ];
}

interface Pace {
  readonly total: number;
  readonly left: number;
  readonly milliseconds: number;
}

export function describePace({ total, left, milliseconds }: Pace): string {
  const done = Math.max(0, total - left);
  const perSecond = done / Math.max(1, milliseconds / 1000);
  const rest = done === 0 ? "" : `, about ${describeTime(left / perSecond)} left`;
  return `${done} of ${total} deleted, ${perSecond.toFixed(1)} a second${rest}`;
}

function describeTime(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

interface End {
  readonly total: number;
  readonly left: number;
  readonly stuck: readonly ServiceWork[];
  readonly stock: Inventory;
  readonly isStopped: boolean;
}

export function describeEnd({ total, left, stuck, stock, isStopped }: End): string[] {
  const lines = stuck
    .slice(0, MOST_NAMED)
    .map(
      ({ communicationUserId, tries, lastError }) =>
        `not deleted: ${communicationUserId}, after ${tries} tries: ${lastError}`,
    );
  if (stuck.length > MOST_NAMED) lines.push(`not deleted: ${stuck.length - MOST_NAMED} more`);
  lines.push(...describeUntouched(stock));
  const deleted = Math.max(0, total - left);
  if (left === 0) return [...lines, `${deleted} identities deleted, none left`];
  const why = isStopped ? "stopped" : stuck.length >= left ? "the service would not delete them" : whyLeft(stock);
  return [...lines, `${deleted} of ${total} deleted, ${left} left (${why}): run it again to go on`];
}

function whyLeft({ identities }: Inventory): string {
  const isMade = identities.some(({ status }) => status !== "DELETING");
  return isMade ? "made meanwhile, or not begun: a gateway may be serving" : "their records are yet to be erased";
}
