import manifest from "../package.json" with { type: "json" };

/** Of this program (Semantic Versioning). */
export const VERSION: string = manifest.version;
