import type { AttemptSpec } from '../../contract/attempt.ts'
import { groupOf, largestOf, type Need, needOf, takesSlot, workspaceKey } from './matching.ts'

/** Cores and memory: of a runner, or that one has to have. */
export type Size = ReturnType<typeof largestOf>

/** A run that waits for a runner that is made. */
export interface Demand {
  tenant: string
  run_id: string
  /** Names what the steps have in common that share the runner. */
  workspace: string
  /** The labels that its runner needs. */
  labels: Readonly<Record<string, string>>
  /** The size that its runner needs; 0: any will do. */
  size: Size
}

/** Equal for demands of one runner. */
export const demandKey = ({ run_id, workspace }: Pick<Demand, 'run_id' | 'workspace'>): string =>
  `${run_id} ${workspace}`

export interface WaitingDemand extends Demand {
  /** By the steady clock: since then it waits. */
  waitsSinceMs: number
}

/** Groups whose runners are each made for one run, as the fleet asks and tells of them. */
export interface MadeGroups {
  isMade(group: string): boolean
  /** As `RunnerRules.runOf`. */
  runOf(tenant: string, runner: string): string | null | undefined
  /** A runner that was made ahead of need has got an attempt of the run. */
  bound(tenant: string, runner: string, run: Pick<Demand, 'run_id' | 'workspace'>): void
  /** Why the run waits for a runner of the group; undefined: as placement says. */
  why(group: string, demand: Demand): string | undefined
  /** A runner has come, gone, or has more or less to do; something waits, or waits no more. */
  changed(): void
}

/** The need of an attempt, with its run where its group's runners are made. Bots, and steps for a runner by name, have none made. */
export function needIn(spec: AttemptSpec, made: MadeGroups | undefined): Need {
  const need = needOf(spec)
  const { requires } = need
  const group = groupOf(requires)
  if (group === undefined || requires.runner !== undefined || !takesSlot(requires) || !made?.isMade(group))
    return need
  return { ...need, run: spec.run_id }
}

/** The demand of a need; undefined where no runner is made for it. */
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
