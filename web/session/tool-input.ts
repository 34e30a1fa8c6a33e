/** The arguments of a tool, by their names; one text without a name where they are no JSON, such as JSON that was cut. */
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
    // As it is.
  }
  return [['', input]]
}

/** The command that a tool is to run, whole; undefined where it runs none that is known. */
export function commandOf(input: string | undefined): string | undefined {
  for (const [name, text] of argumentsOf(input)) if (name === 'command' || name === 'cmd') return text
  return undefined
}

/** The arguments of a tool as they are; undefined where they are no JSON object, such as one that was cut. */
export function wholeInput(input: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(input ?? '')
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
