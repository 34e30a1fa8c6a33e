import type { Workflow } from '../../contract/workflow.ts'

/** A step of the workflow, of a rollback or of a sub-workflow serves a bot. */
export function servesBots(workflow: unknown): boolean {
  const { steps, finally: last = [] } = workflow as Workflow
  return [...steps, ...last].some(({ rollback, ...step }) =>
    [step, ...(rollback === undefined ? [] : [rollback])].some(
      ({ action, args }) =>
        action === 'bot.serve' ||
        (action === 'workflow.run' && args.workflow !== undefined && servesBots(args.workflow)),
    ),
  )
}
