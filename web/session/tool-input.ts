/**
 * Returns the arguments of a tool by name, or the whole text without a name if it is not a JSON object, for example
 * because it was cut.
 */
export function argumentsOf(input: string | undefined): [name: string, text: string][] {
  if (input === undefined || input === '') return []
  try {
    const value: unknown = JSON.parse(input)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return Object.entries(value).map(([name, each]) => [
        name,
        typeof each === 'string' ? each : JSON.stringify(each, undefined, 1),
      ])
  } catch {
    // The text stays as it is.
  }
  return [['', input]]
}

/** Returns the whole command that a tool is to run, or undefined if it runs no known command. */
export function commandOf(input: string | undefined): string | undefined {
  for (const [name, text] of argumentsOf(input)) if (name === 'command' || name === 'cmd') return text
  return undefined
}

/**
 * Returns the arguments of a tool as they are, or undefined if they are not a JSON object, for example because they
 * were cut.
 */
export function wholeInput(input: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(input ?? '')
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
