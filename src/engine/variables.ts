import type { InstanceState } from './state.ts'

/**
 * Variables of a run. A step that exports one replaces it whole: `value` is its last instance's, `hosts` each
 * host's own, which later steps on that host see.
 */
export interface Variable {
  value: string
  hosts?: Record<string, string>
}
export type Variables = Map<string, Variable>

export function setVariables(variables: Variables, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) variables.set(name, { value })
}

/** Takes over what a step's instances exported, in their order, so that the outcome does not hang on timing. */
export function mergeExports(variables: Variables, instances: readonly InstanceState[]): void {
  const merged: Variables = new Map()
  for (const { host, exports } of instances)
    for (const [name, value] of Object.entries(exports ?? {}))
      merged.set(name, { value, hosts: { ...merged.get(name)?.hosts, [host]: value } })
  for (const [name, variable] of merged) variables.set(name, variable)
}

/** A variable's value as a host sees it. */
export const valueOn = ({ value, hosts }: Variable, host: string): string =>
  hosts && Object.hasOwn(hosts, host) ? hosts[host]! : value

/** All variables as a host sees them. */
export function variablesOn(variables: Variables, host: string): Record<string, string> {
  const seen: Record<string, string> = {}
  for (const [name, variable] of variables) seen[name] = valueOn(variable, host)
  return seen
}
