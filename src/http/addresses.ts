import { isIP } from "node:net";

/**
 * The IP address that a proxy wrote into a header, with or without a port: `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]`,
 * `[::1]:567`. Undefined for anything else.
 */
export function parseAddress(text: string): string | undefined {
  const [, bracketed, plain] = /^(?:\[([^\]%]*)\]|(\d[\d.]*))(?::\d{1,5})?$/.exec(text) ?? [];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed : undefined;
  const address = plain ?? text;
  return isIP(address) !== 0 && !address.includes("%") ? address : undefined;
}

/** What one client can be taken to have: an IPv4 address, or the /64 of an IPv6 address, whose rest is the client's choice. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const groups = groupsOf(address);
  const [mapped, high = 0, low = 0] = groups.slice(5);
  if (mapped === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** The eight groups of an IPv6 address (RFC 4291 §2.2); an IPv4 address in it is two of them. */
function groupsOf(address: string): number[] {
  const canonical = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const [head = [], tail = []] = canonical.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const gap = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return [...head, ...gap, ...tail].map((group) => Number.parseInt(group, 16));
}
