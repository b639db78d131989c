import { setFlagsFromString } from "node:v8";

/**
 * Has V8 make no object in the old generation for having seen many of its kind live through a collection, as those of a request do
 * that waits for the trail or the service. They are dead soon after, and would keep what else there is of their request until the
 * old generation is swept. For the whole process; to be called before there is load.
 */
export function makeAllYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
