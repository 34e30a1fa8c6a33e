import type { Workflow } from '../contract/workflow.ts'
import { didYouMean } from '../engine/file/did-you-mean.ts'
import { UsageError } from './command.ts'

/** Throws a usage error where `--approve` names no step that asks. */
export function checkApproved(
  given: readonly string[],
  { steps, finally: last = [] }: Pick<Workflow, 'steps' | 'finally'>,
): void {
  const asking = [...steps, ...last]
    .filter(({ action }) => action === 'approval.wait')
    .map(({ name }) => name)
  const wrong = given.find((name) => !asking.includes(name))
  if (wrong === undefined) return
  throw new UsageError(
    `--approve names "${wrong}", and the workflow has no step of that name that asks`,
    didYouMean(
      wrong,
      asking,
      asking.length === 0 ? 'no step of it asks' : `what asks is ${asking.join(', ')}`,
    ),
  )
}
