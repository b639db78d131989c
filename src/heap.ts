import { setFlagsFromString } from "node:v8";

/**
 * Has V8 make all objects in the young generation. It makes those in the old one, of which many of a kind have lived through a sweep,
 * as those of a request do that waits for the trail or the service. They are dead soon after, and would keep what else there is of
 * their request until the old generation is swept. For the whole process; to be called before there is load.
 */
export function makeAllYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
