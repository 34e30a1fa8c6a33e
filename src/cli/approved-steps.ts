import type { Workflow } from '../contract/workflow.ts'
import { didYouMean } from '../engine/file/did-you-mean.ts'
import { UsageError } from './command.ts'

/** Throws a usage error where `--approve` names no step that asks, of the workflow or of one that it runs. */
export function checkApproved(given: readonly string[], workflow: Pick<Workflow, 'steps' | 'finally'>): void {
  const asking = askingSteps(workflow)
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

const askingSteps = ({ steps, finally: last = [] }: Pick<Workflow, 'steps' | 'finally'>): string[] =>
  [...steps, ...last].flatMap(({ name, action, args }) => {
    if (action === 'approval.wait') return name
    return action === 'workflow.run' && args.workflow ? askingSteps(args.workflow as Workflow) : []
  })
