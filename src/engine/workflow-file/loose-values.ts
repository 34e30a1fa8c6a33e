/** Reads values of any type: what does not fit is left for the schema to report. */
export type Loose = Readonly<Record<string, unknown>>

export function asMap(value: unknown): Loose | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : undefined
}

/** Returns a map's entries; empty when the value is not a map. */
export function entriesOf(value: unknown): [string, unknown][] {
  const map = asMap(value)
  return map ? Object.entries(map) : []
}

/** Returns a list; empty when the value is not a list. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Returns the value of a map's own key. */
export function own(value: unknown, key: string): unknown {
  const map = asMap(value)
  return map && Object.hasOwn(map, key) ? map[key] : undefined
}

/** Returns the value at a path. */
export function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, part) => (Array.isArray(inner) ? inner[Number(part)] : own(inner, String(part))),
    value,
  )
}
