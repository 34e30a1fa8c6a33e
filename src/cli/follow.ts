import type { GivenInput } from '../contract/agent.ts'
import type { RunEvent } from '../contract/events.ts'
import type { RunStatus } from '../contract/status.ts'
import { AgentQuestions } from './agent-questions.ts'
import type { Approver } from './approver.ts'
import { exitCodeOfRun } from './exit-codes.ts'
import { wantsColor } from './render/palette.ts'
import { type DisplayOptions, RunDisplay } from './render/run-display.ts'
import { TextOut } from './text-out.ts'

/** A run as this command follows it, wherever it is carried out. */
export interface FollowedRun {
  runId: string
  events: AsyncIterable<RunEvent>
  /** Events of a run that this one starts. */
  childEvents(runId: string): AsyncIterable<RunEvent>
  cancel(force: boolean): Promise<void>
  /** Answers what an agent of it asks; absent: others do. */
  give?(input: GivenInput, attempt: number): Promise<unknown>
  /** The run for the last line of `--json`. */
  view(): Promise<unknown>
}

export interface FollowOptions extends Pick<DisplayOptions, 'maxBytes' | 'wholeOutput' | 'answerHint'> {
  json: boolean
  approver?: Approver
}

/** Shows a run until it ends; a signal or a reader that goes away cancels it. Answers the exit code. */
export async function follow(run: FollowedRun, options: FollowOptions): Promise<number> {
  const out = new TextOut(process.stdout)
  const tty = process.stdout.isTTY ?? false
  const display = new RunDisplay({ ...options, tty, color: wantsColor(tty, process.env) })
  const children: Promise<void>[] = []
  let asked = 0
  const cancel = (): void => {
    asked++
    // It may have ended meanwhile; then there is nothing to cancel.
    if (asked <= 2) run.cancel(asked === 2).catch(() => {})
  }
  const onInterrupt = (): void => {
    if (asked === 0 && !options.json) process.stderr.write('\nCanceling. Press Ctrl-C again to force it.\n')
    cancel()
  }
  // For good: one that comes while the command ends must not change how it ends.
  process.on('SIGINT', onInterrupt).on('SIGTERM', cancel).on('SIGHUP', cancel)
  out.whenGone(cancel)

  const questions = new AgentQuestions({
    ask: run.give !== undefined && options.approver?.asks === true,
    othersCan: run.give === undefined,
    hint: (id) => `errand agents answer ${run.runId} ${id} allow`,
    give: async (input, attempt) => run.give?.(input, attempt),
    write: async (text) => (options.json ? undefined : await out.write(text)),
  })
  let status: RunStatus = 'running'
  try {
    for await (const event of run.events) {
      // What a sub-workflow printed comes before its end is told.
      if (event.type === 'child.finished') await Promise.all(children)
      await out.write(options.json ? `${JSON.stringify(event)}\n` : display.add(event))
      if (event.type === 'child.started' && !options.json) {
        const child = new RunDisplay({
          ...options,
          tty,
          color: wantsColor(tty, process.env),
          within: event.step,
        })
        children.push(showChild(run.childEvents(event.run_id), child, out))
      }
      if (event.type === 'approval.requested') options.approver?.requested(event)
      if (event.type === 'agent.update') questions.follow(event.update, event.attempt)
      if (event.type === 'run.finished') status = event.status
    }
    if (options.json) await out.write(`${JSON.stringify({ type: 'result', run: await run.view() })}\n`)
  } finally {
    questions.close()
    options.approver?.close()
  }
  return exitCodeOfRun(status)
}

async function showChild(events: AsyncIterable<RunEvent>, display: RunDisplay, out: TextOut): Promise<void> {
  try {
    for await (const event of events) await out.write(display.add(event))
  } catch {
    // How it ended is told by the run that started it.
  }
}
