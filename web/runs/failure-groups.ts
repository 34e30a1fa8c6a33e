import type { Run } from '../data/runs.ts'

export interface FailureGroup {
  /** The same as long as the group is: workflow, step and reason. */
  key: string
  /** The newest first. */
  runs: readonly [Run, ...Run[]]
}

/** The reason of a run's first failure, in the API's word. */
export const reasonOf = (run: Run): string => run.now?.failure?.reason ?? run.reason ?? run.status

const endOf = ({ finished_at, created_at }: Run) => Date.parse(finished_at ?? created_at)

/** Folds failures of the same workflow, step and reason; the group of the newest failure stands first. */
export function failureGroups(failures: readonly Run[]): FailureGroup[] {
  const groups = new Map<string, [Run, ...Run[]]>()
  for (const run of failures.toSorted((a, b) => endOf(b) - endOf(a))) {
    const key = JSON.stringify([run.workflow_name, run.now?.failure?.step, reasonOf(run)])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [run])
    else group.push(run)
  }
  return [...groups].map(([key, runs]) => ({ key, runs }))
}
