import type { Config } from "../../config/config.js";
import { Examination, ok, type Result } from "./examination.js";

const CURE = "mend the manifest, or correct graphql.trustedDocuments.manifests";

/** Whether the manifests of trusted documents can be read, and every document in them would be run. */
export async function examineDocuments({ graphql }: Config): Promise<readonly Result[]> {
  const examination = new Examination();
  const { manifests, mode } = graphql.trustedDocuments;
  if (manifests.length === 0) {
    examination.skip("documents", undefined, "no manifest is configured");
    return examination.results;
  }
  // All that has to do with GraphQL, loaded only where there is something to check.
  const { countDocuments } = await import("../../gateway.js");
  const check = async (about: string, files: readonly string[]) =>
    await examination.check({ id: "documents", about, cure: CURE }, async () =>
      ok(`${await countDocuments(files, graphql)} documents, mode ${mode}`),
    );
  let areSound = true;
  for (const file of manifests) areSound = (await check(file, [file])) && areSound;
  if (areSound && manifests.length > 1) await check("all together", manifests);
  return examination.results;
}
