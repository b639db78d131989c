import { fetchBytes } from "../../auth/fetch-bytes.js";
import { isHttpsOrLoopback } from "../../config/check.js";
import type { Config } from "../../config/config.js";
import { parseStrictJson } from "../../json.js";
import { Examination, type Finding, ok, type Result, warn } from "./examination.js";

const CURE = "set PUBLIC_URL to the address that clients use, without /graphql";

/** Whether the address that clients are said to use is one that they could use. */
export async function examinePublicUrl({ server }: Config): Promise<readonly Result[]> {
  const examination = new Examination();
  await examination.check({ id: "server.publicUrl", cure: CURE }, (deadline) => judge(server, deadline));
  return examination.results;
}

async function judge({ publicUrl, host }: Config["server"], deadline: AbortSignal): Promise<Finding> {
  if (publicUrl === null) {
    if (isLoopback(host)) return ok(`none; clients are on this machine (${host})`);
    return warn("none, though clients come from elsewhere: a proof of possession (DPoP) names it", CURE);
  }
  const url = new URL(publicUrl);
  if (url.pathname.endsWith("/graphql")) return warn(`${publicUrl} ends in /graphql, which is added to it`, CURE);
  if (isLoopback(url.hostname) && !isLoopback(host)) {
    return warn(`${publicUrl} is this machine, though the gateway listens for others (${host})`, CURE);
  }
  return await judgeAnswer(publicUrl, deadline);
}

async function judgeAnswer(publicUrl: string, deadline: AbortSignal): Promise<Finding> {
  const later = "run this again once the gateway runs, and see that its proxy lets /health/live through";
  try {
    const answer = parseStrictJson(await fetchBytes(`${publicUrl}/health/live`, deadline)) as {
      status?: unknown;
    } | null;
    if (answer?.status === "live") return ok(`the gateway answers at ${publicUrl}`);
  } catch {
    return warn(`no gateway answers at ${publicUrl} just now`, later);
  }
  return warn(`something else than the gateway answers at ${publicUrl}`, CURE);
}

/** As the configuration takes it for one. */
function isLoopback(host: string): boolean {
  const url = URL.parse(`http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}`);
  return url !== null && isHttpsOrLoopback(url);
}
