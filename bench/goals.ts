/** What the design holds the gateway to. A goal is met or not by the median of all rounds. */
import { median } from "./figures.js";

export interface Goal {
  readonly is: "at least" | "at most";
  readonly value: number;
  readonly unit?: string;
}

export function describeGoal(goal: Goal | undefined): string {
  if (goal === undefined) return "–";
  return `${goal.is === "at least" ? "≥" : "≤"} ${goal.value}${goal.unit ? ` ${goal.unit}` : ""}`;
}

export function verdict(goal: Goal | undefined, values: readonly number[]): string {
  if (goal === undefined) return "–";
  const isMet = goal.is === "at least" ? median(values) >= goal.value : median(values) <= goal.value;
  return isMet ? "met" : "not met";
}
