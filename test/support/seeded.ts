/** Returns a generator of numbers, which are the same for the same seed. The seed is shown if a test file fails. */
export function seeded(): { between(low: number, high: number): number } {
  let state = Number(process.env.ERRAND_TEST_SEED ?? Date.now() % 2 ** 31)
  console.log(`ERRAND_TEST_SEED=${state}`)
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
  return { between: (low, high) => low + next() * (high - low) }
}
