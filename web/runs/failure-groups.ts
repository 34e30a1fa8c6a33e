import type { Run } from '../data/runs.ts'

export interface FailureGroup {
  /** Workflow, step and reason; stays the same as long as the group exists. */
  key: string
  /** Runs of the group, newest first. */
  runs: readonly [Run, ...Run[]]
}

/** Returns the reason of a run's first failure, as the API's code. */
export const reasonOf = (run: Run): string => run.now?.failure?.reason ?? run.reason ?? run.status

const endOf = ({ finished_at, created_at }: Run) => Date.parse(finished_at ?? created_at)

/** Groups failures by workflow, step and reason; the group with the newest failure comes first. */
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
