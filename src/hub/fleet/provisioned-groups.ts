import type { AttemptSpec } from '../../contract/attempt.ts'
import { groupOf, largestOf, type Need, needOf, takesSlot, workspaceKey } from './matching.ts'

/** Cores and memory that a runner has, or must have. */
export type Size = ReturnType<typeof largestOf>

/** Describes a run that waits for a provisioned runner. */
export interface Demand {
  tenant: string
  run_id: string
  /** Key that is equal for all steps that share the runner. */
  workspace: string
  /** Labels that the runner needs. */
  labels: Readonly<Record<string, string>>
  /** Size that the runner needs; 0 means that any size will do. */
  size: Size
}

/** Returns a key that is equal for demands on the same runner. */
export const demandKey = ({ run_id, workspace }: Pick<Demand, 'run_id' | 'workspace'>): string =>
  `${run_id} ${workspace}`

export interface WaitingDemand extends Demand {
  /** Start of the wait, in milliseconds of the monotonic clock. */
  waitsSinceMs: number
}

/** Knows the groups whose runners are each provisioned for one run. The fleet asks it and reports to it. */
export interface ProvisionedGroups {
  isProvisioned(group: string): boolean
  /** Same as `RunnerRules.runOf`. */
  runOf(tenant: string, runner: string): string | null | undefined
  /** Reports that a runner that was provisioned ahead of need got an attempt of the run. */
  bound(tenant: string, runner: string, run: Pick<Demand, 'run_id' | 'workspace'>): void
  /** Returns why the run waits for a runner of the group, or undefined to use the reason that placement gives. */
  why(group: string, demand: Demand): string | undefined
  /** Reports that a runner has come, gone, or has more or less to do, or that an attempt started or stopped waiting. */
  changed(): void
}

/**
 * Returns the need of an attempt, including its run if the group's runners are provisioned. Bots and steps that name
 * a runner get no provisioned runner.
 */
export function needIn(spec: AttemptSpec, groups: ProvisionedGroups | undefined): Need {
  const need = needOf(spec)
  const { requires } = need
  const group = groupOf(requires)
  if (
    group === undefined ||
    requires.runner !== undefined ||
    !takesSlot(requires) ||
    !groups?.isProvisioned(group)
  )
    return need
  return { ...need, run: spec.run_id }
}

/** Returns the demand of a need, or undefined if no runner is provisioned for it. */
export const demandOf = ({ tenant, requires, run }: Need): Demand | undefined =>
  run === undefined
    ? undefined
    : {
        tenant,
        run_id: run,
        workspace: workspaceKey(requires),
        labels: requires.labels ?? {},
        size: largestOf(requires),
      }
