import type { NewInput } from '../../contract/agent.ts'
import type { RunEvent } from '../../contract/events.ts'
import { exitCodeOfRun } from '../exit-codes.ts'
import { type ColorChoice, hasLiveLines, usesColor } from '../render/terminal-text.ts'
import { AgentQuestions, YesNoQuestions } from './agent-questions.ts'
import type { Approver } from './approver.ts'
import { JsonLines } from './json-lines.ts'
import { eachEvent, FamilyDisplay, type FamilyMember, type FamilyShow } from './run-family.ts'
import { TextOut } from './text-out.ts'

/** Describes a run that this command follows, wherever it runs. */
export interface FollowedRun {
  runId: string
  /** Returns the events of this run, or of one that it started. */
  events(runId: string): AsyncIterable<RunEvent>
  /** Number of children of a run that may be read at a time; absent: all. */
  childrenAtOnce?: number
  cancel(force: boolean): Promise<void>
  /** Answers a question of one of the run's agents; absent: others answer. */
  give?(runId: string, input: NewInput, attempt: number): Promise<unknown>
  /** Returns the run for the last line of `--json`. */
  view(): Promise<unknown>
}

export interface FollowOptions extends FamilyShow {
  json: boolean
  /** When to write colours; absent: if the reader is a terminal. */
  color?: ColorChoice
  approver?: Approver
}

/** Shows a run until it ends; a signal or a reader that goes away cancels it. Resolves to the exit code. */
export async function follow(run: FollowedRun, options: FollowOptions): Promise<number> {
  const out = new TextOut(process.stdout)
  const tty = process.stdout.isTTY ?? false
  const displays = new FamilyDisplay(options, { tty, color: usesColor(tty, process.env, options.color) })
  const lines = new JsonLines(run.runId)
  let questionCount = 0
  const cancel = (): void => {
    questionCount++
    // The run may have ended in the meantime; then there is nothing to cancel.
    if (questionCount <= 2) run.cancel(questionCount === 2).catch(() => {})
  }
  const onInterrupt = (): void => {
    out.live('')
    if (questionCount === 0 && !options.json)
      process.stderr.write('\nCanceling. Press Ctrl-C again to kill everything now.\n')
    cancel()
  }
  // These stay registered: a signal that comes while the command ends must not change how it ends.
  process.on('SIGINT', onInterrupt).on('SIGTERM', cancel).on('SIGHUP', cancel)
  out.whenGone(cancel)

  const terminal = options.approver?.terminal ?? new YesNoQuestions()
  const questions = new AgentQuestions({
    ask: run.give !== undefined && options.approver?.isInteractive === true,
    othersCan: run.give === undefined,
    hint: (id, runId) => `errand agents answer ${runId} ${id} allow`,
    give: async (input, attempt, runId) => run.give?.(runId, input, attempt),
    write: async (text) => (options.json ? undefined : await out.write(text)),
    terminal,
  })
  const quiet = options.json
    ? undefined
    : out.meanwhile(displays, { isLive: hasLiveLines(tty, process.env), isPaused: () => terminal.isAsking })
  let exitCode = exitCodeOfRun('running')
  try {
    const report = async (event: RunEvent, member: FamilyMember): Promise<void> => {
      const { runId } = member
      const isChild = runId !== run.runId
      if (event.type === 'approval.answered' || event.type === 'step.finished')
        options.approver?.over(event, runId)
      const text = options.json ? lines.event(event, runId) : displays.add(event, member)
      await terminal.above(text, (shown) => out.write(shown))
      if (event.type === 'approval.requested') options.approver?.requested(event, runId)
      if (event.type === 'agent.update') questions.follow(event.update, event.attempt, runId)
      if (event.type === 'run.finished' && !isChild) exitCode = exitCodeOfRun(event.status, event.reason)
    }
    await eachEvent(run.runId, { events: run.events, report, childrenAtOnce: run.childrenAtOnce })
    if (options.json) await out.write(lines.result(await run.view()))
  } finally {
    quiet?.()
    questions.close()
    options.approver?.close()
  }
  return exitCode
}
