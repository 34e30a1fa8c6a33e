import test from 'node:test'

/**
 * Sizes that `npm test` leaves to `npm run test:all`. The table in CONTRIBUTING.md has a row for each call
 * (scripts/test-runs.ts), so texts and numbers are literals. ERRAND_TEST_LARGE=1 runs any test file in full size.
 */
const isLarge = process.env.ERRAND_TEST_LARGE === '1'

/** Reports whether this run includes what only `npm run test:all` does. */
export const onlyLarge = (_what: string): boolean => isLarge

/** Returns the size for this run. */
export const sized = (_what: string, usual: number, large: number): number => (isLarge ? large : usual)

/** Defines a test that only `npm run test:all` runs. */
export const largeTest: typeof test.test = isLarge ? test : ((() => {}) as unknown as typeof test.test)
