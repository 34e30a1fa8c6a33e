/** `web-1`, or `web-1 [node=20]` for one combination of a matrix. */
export function instanceName(host: string, vars: Record<string, string> | undefined): string {
  if (vars === undefined) return host
  const values = Object.entries(vars).map(
    ([name, value]) => `${name}=${value.length > 30 ? `${value.slice(0, 29)}…` : value}`,
  )
  return `${host} [${values.join(' ')}]`
}
