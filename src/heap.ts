import { setFlagsFromString } from "node:v8";

/** Has V8 do what is right for a server under load. For the whole process; to be called before there is load. */
export function tuneV8(): void {
  // It would make objects in the old generation at once for having seen many of their kind live through a collection, as those of a
  // request do that waits for the trail or the service. They are dead soon after, and would keep what else there is of their
  // request until the old generation is swept.
  setFlagsFromString("--no-allocation-site-pretenuring");
  // It would drop the code of functions that nobody has called for some collections. After a lull they are compiled anew, and slow
  // until they have been found to be worth more than that, for some thousand requests.
  setFlagsFromString("--no-flush-bytecode");
}
