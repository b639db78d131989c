/** `date` is YYYY-MM-DD. A day that its month does not have would roll over into the next. */
export function isCalendarDay(date: string): boolean {
  const midnight = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date);
}
