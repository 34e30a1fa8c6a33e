/** Test files that only `npm run test:all` runs, with the reason for each. */
export const onlyInAll: ReadonlyMap<string, string> = new Map([])
