import type { Artifact } from './artifact.ts'

/** An artifact of one of a task's tries. */
interface OfTry {
  run_id: string
  artifact: Artifact
}

/** The last change that a task has stored: its diff, and its commits as patches in their order. */
export interface TaskChange {
  run_id: string
  diff: Artifact
  patches: Artifact[]
}

/** Finds the last change among all that a task's tries have stored, in that order; undefined when there is none. */
export function lastChange(artifacts: readonly OfTry[]): TaskChange | undefined {
  const last = artifacts.findLast(({ artifact }) => artifact.kind === 'diff')
  if (last === undefined) return undefined
  const { run_id, artifact: diff } = last
  // A try carries its change out of the box again for each round of a review: one attempt has all patches of a round.
  const attempt = attemptOf(diff)
  const patches = artifacts
    .filter((each) => each.run_id === run_id && attemptOf(each.artifact) === attempt)
    .flatMap(({ artifact }) => (artifact.kind === 'patch' ? [artifact] : []))
    .sort((one, other) => numberOf(one) - numberOf(other))
  return { run_id, diff, patches }
}

/** Returns the patch of a commit by its number from 1; undefined when it was not stored. */
export const patchOf = ({ patches }: TaskChange, commit: number): Artifact | undefined =>
  patches.find((patch) => numberOf(patch) === commit)

/** Returns the number of a patch, such as 2 for `patch/0002.patch`. */
export const numberOf = ({ name }: Artifact): number => Number(/(\d+)\.patch$/.exec(name)?.[1] ?? 0)

const attemptOf = ({ artifact_id }: Artifact): string => artifact_id.slice(0, artifact_id.lastIndexOf('.'))
