import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";

const CLAIM = "gateway-faults:claimed";
const CLAIM_SECONDS = 3600;
/** Of a server as it comes; 0 is everybody's. */
const NUMBERS = Array.from({ length: 15 }, (_, index) => index + 1);

/** One of the server's numbered databases, empty when it was claimed, and emptied when it is released. */
export interface RedisDatabase {
  readonly url: string;
  /** 32 random bytes, base64: nothing that another run has written can be read with it. */
  readonly key: string;
  release(): Promise<void>;
}

export async function claimRedisDatabase(server: string): Promise<RedisDatabase> {
  for (const number of NUMBERS) {
    const url = new URL(server);
    url.pathname = `/${number}`;
    const client = new Redis(url.href);
    const mine = (await client.dbsize()) === 0 && (await client.set(CLAIM, "", "EX", CLAIM_SECONDS, "NX")) === "OK";
    if (mine) {
      const release = async () => {
        await client.flushdb();
        client.disconnect();
      };
      return { url: url.href, key: randomBytes(32).toString("base64"), release };
    }
    client.disconnect();
  }
  throw new Error("none of the Redis server's databases 1 to 15 is empty");
}
