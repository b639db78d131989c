/** What became of each row: counted, and every one that was refused named, with what would have it taken. */
import type { Adopted } from "../../identities/adoption.js";
import type { Lines } from "../lines.js";

const COUNTED = ["added", "there", "refused"] as const;

/** Of refused rows, so many are printed when there is no file for them. */
const MOST_PRINTED = 20;

interface ReportParts {
  /** JSON lines: one for each refused row, and one with the result. */
  readonly file: Lines | undefined;
  readonly output: Lines;
  readonly isDry: boolean;
}

export interface Report {
  readonly refused: number;
  add(line: number, adopted: Adopted): Promise<void>;
  /** Such as `12 rows up to line 13: …`. */
  describe(): string;
  /** `isComplete`: every row was looked at. */
  end(isComplete: boolean): Promise<void>;
}

export function openReport({ file, output, isDry }: ReportParts): Report {
  const counts = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<(typeof COUNTED)[number], number>;
  let lastLine: number | null = null;
  const describe = () => {
    const rows = counts.added + counts.there + counts.refused;
    const added = isDry ? "to be added" : "added";
    const where = lastLine === null ? "" : ` up to line ${lastLine}`;
    return `${rows} rows${where}: ${counts.added} ${added}, ${counts.there} there already, ${counts.refused} refused`;
  };
  return {
    get refused() {
      return counts.refused;
    },
    add: async (line, adopted) => {
      lastLine = line;
      counts[typeof adopted === "string" ? adopted : "refused"] += 1;
      if (typeof adopted === "string") return;
      const { code, message: reason, cure } = adopted;
      if (file) await file.print(JSON.stringify({ line, code, reason, cure }));
      else if (counts.refused <= MOST_PRINTED) await output.print(`line ${line}: ${code}: ${reason}; cure: ${cure}`);
    },
    describe,
    end: async (isComplete) => {
      await file?.print(JSON.stringify({ format: 1, isDryRun: isDry, isComplete, lastLine, ...counts }));
      const hidden = file ? 0 : counts.refused - MOST_PRINTED;
      if (hidden > 0) await output.print(`${hidden} more were refused: name a file for all of them with --report`);
      const rest = isComplete ? "" : "; the rest was not looked at: run it again, or go on with --from-line";
      await output.print(`${describe()}${rest}`);
    },
  };
}
