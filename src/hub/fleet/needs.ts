import type { AttemptSpec, Requirements } from '../../contract/attempt.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'

/** The demands of an attempt on a runner, and whose runners it may have. */
export interface Need {
  tenant: string
  requires: Requirements
}

export const DEFAULT_GROUP = 'default'

/** Names one runner among those of all tenants: ids are unique in a tenant alone. Only the hub's memory knows it, and it is shown nowhere. */
export type RunnerKey = string & { readonly _brand: 'RunnerKey' }

/** Without a tenant, the first one's. */
export const runnerKey = (tenant: string | undefined, id: string): RunnerKey =>
  JSON.stringify([tenant ?? DEFAULT_TENANT, id]) as RunnerKey

export const needOf = ({
  tenant = DEFAULT_TENANT,
  requires,
}: Pick<AttemptSpec, 'tenant' | 'requires'>): Need => ({
  tenant,
  requires,
})

/** A bot goes on for days and is idle for most of them: slots are for what ends. */
export const takesSlot = ({ containers }: Requirements): boolean => containers !== true

/** A runner that is named may be of any group. */
export const groupOf = ({ runner, group }: Requirements): string | undefined =>
  group ?? (runner === undefined ? DEFAULT_GROUP : undefined)

/** Equal for steps of a run that share a workspace, whatever they use of the machine. */
export const workspaceKey = ({ runner, group, labels }: Requirements): string =>
  JSON.stringify([runner, group, sorted(labels)])

/** Equal for equal needs. */
export function needKey({ tenant, requires }: Need): string {
  const { runner, group, labels, cpus, memory_bytes, largest, mode, containers } = requires
  const amounts = [cpus, memory_bytes, largest?.cpus, largest?.memory_bytes]
  return JSON.stringify([tenant, runner, group, mode, containers, sorted(labels), amounts])
}

const sorted = (labels: Requirements['labels']) =>
  labels && Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
