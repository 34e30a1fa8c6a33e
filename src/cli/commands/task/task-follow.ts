import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrandClient } from '../../../client/client.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { isFinalTask, type TaskState } from '../../../contract/tasks/task.ts'
import type { TaskEvent } from '../../../contract/tasks/task-log.ts'
import { whileAway } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { follow } from '../../follow/follow.ts'
import { CHILDREN_AT_ONCE } from '../../follow/run-family.ts'
import { jsonText } from '../../print.ts'
import { type ColorChoice, lineText } from '../../render/terminal-text.ts'

/** Returns the exit code of a command that waited for a task. A task that waits to be merged counts as a success. */
export function exitCodeOfTask(state: TaskState): number {
  if (state === 'done' || state === 'no_change' || state === 'in_review') return exitCodes.success
  if (state === 'canceled') return exitCodes.canceled
  return state === 'failed' || state === 'blocked' ? exitCodes.failed : exitCodes.interrupted
}

/** Reports whether nothing more happens until a person does something. */
const isSettled = (state: TaskState): boolean =>
  isFinalTask(state) || state === 'in_review' || state === 'blocked'

/** Milliseconds between two checks for a run that is being created. */
const LOOK_MS = 100

interface Show {
  json: boolean
  /** Only show events after this one. */
  after?: number
  verbose?: boolean
  color?: ColorChoice
}

/** Shows a task and its tries as they run, until it is settled. Ctrl-C cancels it. Resolves to the exit code. */
export async function followTask(client: ErrandClient, id: string, show: Show): Promise<number> {
  let state: TaskState = 'pending'
  const cancel = () => void whileAway(() => client.tasks.cancel(id)).catch(() => {})
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, cancel)
  for await (const event of client.taskEvents(id, { reached: true, after: show.after })) {
    state = stateAfter(event, state)
    if (show.json) process.stdout.write(`${jsonText({ ...event, id })}\n`)
    else {
      const line = eventLine(event)
      if (line !== undefined) process.stdout.write(`${line}\n`)
      if (event.type === 'task.try_started') await showRun(client, id, event.run_id, show)
    }
    if (event.type === 'task.state' && isSettled(state)) break
  }
  return await reportEnd(client, [id], show)
}

/** Shows a line for each change of several tasks, until all are settled. Resolves to the worst exit code. */
export async function followTasks(client: ErrandClient, ids: readonly string[], show: Show): Promise<number> {
  await Promise.all(
    ids.map(async (id) => {
      let state: TaskState = 'pending'
      for await (const event of client.taskEvents(id, { reached: true })) {
        state = stateAfter(event, state)
        const line = show.json ? jsonText({ ...event, id }) : eventLine(event)
        if (line !== undefined) process.stdout.write(`${show.json ? '' : `${id}  `}${line}\n`)
        if (event.type === 'task.state' && (isFinalTask(state) || state === 'in_review')) return
        // A task that it depends on may be tried again.
        if (state === 'blocked') return
      }
    }),
  )
  return await reportEnd(client, ids, show)
}

function stateAfter(event: TaskEvent, state: TaskState): TaskState {
  if (event.type === 'task.state') return event.state
  return event.type === 'task.try_started' ? 'running' : state
}

async function showRun(client: ErrandClient, id: string, runId: string, show: Show): Promise<void> {
  if (!(await hasBegun(client, id, runId))) return
  const run = {
    runId,
    events: (of: string) => client.events(of, { reached: true }),
    childrenAtOnce: CHILDREN_AT_ONCE,
    // The first Ctrl-C has canceled the task.
    cancel: async (force: boolean) => {
      if (force) await whileAway(() => client.runs.cancel(runId, { force }))
    },
    view: () => client.runs.get(runId),
  }
  await follow(run, {
    ...show,
    brief: !show.verbose,
    maxBytes: () => Number.POSITIVE_INFINITY,
    wholeOutput: () => '',
    allRows: (of) => `errand runs show ${of} --verbose`,
    answerHint: () => `answer with: errand task approve ${id}`,
  })
}

/** Waits for the run of a try, which its task announces first; returns false if the run could not be created. */
async function hasBegun(client: ErrandClient, id: string, runId: string): Promise<boolean> {
  for (;;)
    try {
      await whileAway(() => client.runs.get(runId))
      return true
    } catch (error) {
      if (!(error instanceof ErrandError) || error.code !== 'run_not_found') throw error
      if ((await client.tasks.get(id)).run_id !== runId) return false
      await sleep(LOOK_MS)
    }
}

async function reportEnd(client: ErrandClient, ids: readonly string[], show: Show): Promise<number> {
  let exitCode: number = exitCodes.success
  for (const id of ids) {
    const task = await client.tasks.get(id)
    const code = exitCodeOfTask(task.state)
    if (exitCode === exitCodes.success || code === exitCodes.failed) exitCode = code
    if (show.json) process.stdout.write(`${jsonText({ type: 'result', id, task })}\n`)
    else if (task.pull_request !== undefined)
      process.stdout.write(`pull request ${lineText(task.pull_request.url)}\n`)
  }
  return exitCode
}

/** Formats an event for a person; undefined if it is not shown. */
export function eventLine(event: TaskEvent): string | undefined {
  switch (event.type) {
    case 'task.waiting':
      return `waiting: ${lineText(event.why)}`
    case 'task.try_started':
      return `try ${event.number} from ${event.stage}: run ${lineText(event.run_id)}`
    case 'task.try_ended': {
      const why = event.message ?? event.reason
      const end = `run ${lineText(event.run_id)} ended ${event.status}${why === undefined ? '' : `: ${lineText(why)}`}`
      return event.retry_at === undefined ? end : `${end}; next try at ${event.retry_at}`
    }
    case 'task.state': {
      const why = event.message ?? event.reason
      return `${event.state}${why === undefined ? '' : `: ${lineText(why)}`}`
    }
    case 'task.pushed':
      return `pushed ${event.sha.slice(0, 12)} to ${lineText(event.branch)}`
    case 'task.pull_request':
      return `pull request ${event.pull_request.state}: ${lineText(event.pull_request.url)}`
    case 'task.tests': {
      const { suite, passed, failed, skipped } = event.tests
      return `tests of ${lineText(suite)}: ${passed} passed, ${failed} failed, ${skipped} skipped`
    }
    case 'task.follow':
      return `${event.action === 'stop' ? 'no longer followed' : 'followed'}: ${lineText(event.message)}`
    case 'task.external_event':
      return `external event: ${lineText(event.event_type)}`
    default:
      return undefined
  }
}
