import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { TokenRefresher, TokenRefresherOptions } from "../../src/client/client.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { ForeignServer } from "./foreign-server.js";
import { Surroundings } from "./surroundings.js";

/** The built client in its surroundings, a real gateway, and a server that is none. */
export class ClientRig {
  rig!: Rig;
  foreign!: ForeignServer;
  /** Both anew for each test. */
  member!: Client;
  world!: Surroundings;

  /** Call at the top of a file. No test may leave a timer of the client's behind, or a rejection that nobody hears. */
  static use(): ClientRig {
    const own = new ClientRig();
    const unheard: unknown[] = [];
    const note = (error: unknown) => unheard.push(error);
    const others = process.listeners("unhandledRejection");
    beforeAll(async () => {
      process.removeAllListeners("unhandledRejection").on("unhandledRejection", note);
      const limits = { mintsPerSubject: 1000, failedAuthPerAddress: 1000 };
      own.rig = await Rig.start({
        configure: (config) => ({ ...config, limits: { ...config.limits, ...limits } }),
      });
      own.foreign = await ForeignServer.start();
    });
    beforeEach(async () => {
      own.member = await own.rig.member(crypto.randomUUID());
      own.world = await Surroundings.create();
      unheard.length = 0;
    });
    afterEach(async () => {
      await own.rig.control("DELETE", "/faults");
      await new Promise(setImmediate);
      expect({ timers: own.world.timers.size, unheard }).toEqual({ timers: 0, unheard: [] });
    });
    afterAll(async () => {
      process.removeListener("unhandledRejection", note);
      for (const other of others) process.on("unhandledRejection", other);
      await own.rig.close();
      await own.foreign.close();
    });
    return own;
  }

  /** For the member, at the gateway unless a test says otherwise. Pauses take no time. */
  refresher(options: Partial<TokenRefresherOptions> = {}): TokenRefresher {
    return this.world.client.createTokenRefresher({
      url: `${this.rig.gateway.url}/graphql`,
      getCallerToken: () => this.member.token,
      scopes: ["CHAT"],
      onRetry: this.world.skipPause,
      ...options,
    });
  }
}
