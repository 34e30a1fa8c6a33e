/** Every text, at any depth, written so that filling in variables gives it back. */
export function plain(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${', '$$${')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

/** The text that `plain` was given. */
export function unplain(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$${', '${')
  if (Array.isArray(value)) return value.map(unplain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unplain(inner)]))
}
