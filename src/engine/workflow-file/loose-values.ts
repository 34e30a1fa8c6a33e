/** Reading a value that may be of any type: what does not fit is left to the schema's own complaint. */
export type Loose = Readonly<Record<string, unknown>>

export function asMap(value: unknown): Loose | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : undefined
}

/** Empty where it is no map. */
export function entriesOf(value: unknown): [string, unknown][] {
  const map = asMap(value)
  return map ? Object.entries(map) : []
}

/** Empty where it is no list. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The value of a map's own key. */
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
