/** Test files that take more than a minute in scripts/test-durations.json, each with the reason. */
export const slowTests: ReadonlyMap<string, string> = new Map([])
