export type Json = Record<string, unknown>

/** What is wrong with a value that stands at a place; none: it fits. */
export type Check = (value: unknown, at: string) => string[]

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function object(given: unknown): Json {
  if (isObject(given)) return given
  throw new Error(`${JSON.stringify(given)} stands where an object has to`)
}

export function list(given: unknown): unknown[] {
  if (Array.isArray(given)) return given
  throw new Error(`${JSON.stringify(given)} stands where a list has to`)
}

export const below = (at: string, name: string | number): string => (at === '' ? `${name}` : `${at}.${name}`)

export const told = (at: string, what: string): string => (at === '' ? what : `at ${at}: ${what}`)

/** For values of a type; others are let through, as JSON Schema wants it. */
export const forType =
  <T>(is: (value: unknown) => value is T, check: (value: T, at: string) => string[]): Check =>
  (value, at) =>
    is(value) ? check(value, at) : []

export const must =
  (fits: (value: unknown) => boolean, otherwise: string): Check =>
  (value, at) =>
    fits(value) ? [] : [told(at, otherwise)]

/** The same text for equal values. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const parts = Object.keys(value).sort()
  return `{${parts.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`
}
