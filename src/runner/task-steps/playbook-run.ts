import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { output } from '../../contract/mini-zod.ts'
import type { PlaybookRunArgs } from '../../contract/tasks/actions.ts'
import type { PlaybookStep, PlaybookSummary } from '../../contract/tasks/playbook.ts'
import type { TestFigures } from '../../contract/tasks/task-facts.ts'
import { type ChosenPlaybook, choosePlaybook } from '../../playbooks/choose.ts'
import { allowedEnv, type ConditionFacts } from '../../playbooks/condition-facts.ts'
import type { ReadFile } from '../../playbooks/found.ts'
import { checkPlaybooks, validPlaybooks } from '../../playbooks/parse.ts'
import { begin, next, record, type TryEnd } from '../../playbooks/progress.ts'
import { joinFigures } from '../../playbooks/results/figures.ts'
import type { CheckoutRepositories } from '../change-export/export-change.ts'
import { SetupWatch } from '../change-export/setup-changes.ts'
import {
  type BoxedEnd,
  type PlatformContext,
  type PlatformResult,
  type PlatformStep,
  StepFailure,
} from '../platform-steps/platform-step.ts'
import { freshCheckout, pathsChanged } from './checkouts.ts'
import { FollowedOutput } from './followed-output.ts'
import { readTests } from './test-results.ts'
import { usesChanges, verifyCommands } from './verify-commands.ts'

export interface PlaybookRunOptions {
  /**
   * Reads the files of the run's repository at a commit, from objects that no agent could write; undefined if it has no
   * repository here.
   */
  filesAt(runId: string, commit: string, signal: AbortSignal): ReadFile | undefined
  /** Returns the repositories of the run: ours, with the exported commits, and the copy that it borrows from. */
  checkout(runId: string): CheckoutRepositories | undefined
}

type Args = output<typeof PlaybookRunArgs>

/** Makes the step that runs the commands of one phase of a task's playbook in the box, and reads the test results. */
export function playbookRun({ filesAt, checkout }: PlaybookRunOptions): PlatformStep {
  return {
    async run(context) {
      const args = context.args as Args
      const repository = filesAt(context.spec.run_id, args.start, context.signal)
      const repositories = checkout(context.spec.run_id)
      if (repository === undefined || repositories === undefined)
        throw new StepFailure('workspace', 'The run has no repository on this machine.')
      const chosen = await choose(args, repository)
      reportChoice(context, chosen)
      return await new PlaybookRun(context, args, chosen, repositories).run()
    },
  }
}

async function choose(args: Args, repository: ReadFile): Promise<ChosenPlaybook> {
  const { playbook, playbook_path, test_commands, fail_fast, skill, timeout_seconds, playbooks } = args
  const task = { playbook, playbook_path, test_commands, fail_fast, required_skill: skill, timeout_seconds }
  try {
    const hub = playbooks && validPlaybooks(checkPlaybooks({ playbooks }, { file: "the hub's playbooks" }))
    return await choosePlaybook(task, { repository, hub })
  } catch (error) {
    if (error instanceof ErrandError && error.code === 'invalid_playbook')
      throw new StepFailure('task_invalid', mistakesOf(error), error.hint)
    throw error
  }
}

/** Lists all mistakes, not only the first. */
function mistakesOf({ message, details }: ErrandError): string {
  const { problems = [] } = (details ?? {}) as {
    problems?: { severity: string; line?: number; message: string }[]
  }
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (errors.length < 2) return message
  const lines = errors.slice(0, MAX_MISTAKES).map((one) => `line ${one.line ?? '?'}: ${one.message}`)
  return `${message}. All mistakes: ${lines.join('; ')}.`
}

const MAX_MISTAKES = 10

function reportChoice(context: PlatformContext, { why, notes }: ChosenPlaybook): void {
  context.phase('playbook', why)
  for (const line of [why, ...notes]) context.write('stdout', `${line}\n`)
}

class PlaybookRun {
  readonly #context: PlatformContext
  readonly #args: Args
  readonly #chosen: ChosenPlaybook
  readonly #repositories: CheckoutRepositories
  readonly #figures: TestFigures[] = []
  #commands = 0
  #cwd: string
  #writable: readonly string[] = []

  constructor(
    context: PlatformContext,
    args: Args,
    chosen: ChosenPlaybook,
    repositories: CheckoutRepositories,
  ) {
    this.#repositories = repositories
    this.#context = context
    this.#args = args
    this.#chosen = chosen
    this.#cwd = context.workspace
  }

  async run(): Promise<PlatformResult> {
    const { phase, fresh } = this.#args
    const { playbook } = this.#chosen
    const named = { PLAYBOOK: playbook?.name ?? '' }
    if (phase === 'setup') {
      if (playbook) await this.#setUp()
      const { commands, text } = verifyCommands(playbook, this.#known())
      return { exports: { ...named, VERIFY: JSON.stringify(commands), TEST_COMMANDS: text } }
    }
    if (!playbook) return { exports: { ...named, TESTS: '', TESTS_TEXT: this.#chosen.why } }
    const facts = await this.#facts()
    if (fresh !== '') {
      this.#cwd = await freshCheckout(this.#context, this.#repositories.own_git, fresh)
      this.#writable = [this.#cwd]
      this.#mustPass(await this.#phase('setup', facts), 'test')
    }
    const summary = await this.#phase('test', facts)
    const figures = this.#figures.length === 0 ? undefined : joinFigures(playbook.name, this.#figures)
    this.#mustPass(summary, 'test', figures)
    return {
      exports: {
        ...named,
        TESTS: figures === undefined ? '' : JSON.stringify(figures),
        TESTS_TEXT: [summary.message, ...(figures === undefined ? [] : [figuresText(figures)])].join(' '),
      },
    }
  }

  /** Runs the setup; what it leaves in the workspace is not part of the change, even if it fails. */
  async #setUp(): Promise<void> {
    const { folder, boxed } = this.#context
    const watch = new SetupWatch({ ...this.#repositories, start: this.#args.start, folder, boxed })
    const facts = await this.#facts()
    const summary = await this.#phase('setup', facts, (step) => watch.begin(step.commits === true))
    try {
      await watch.end()
    } finally {
      this.#mustPass(summary, 'workspace')
    }
  }

  /** Returns the facts that are known before anything has changed. */
  #known(): ConditionFacts {
    const { metadata, task } = this.#args
    return { metadata, task, env: allowedEnv(this.#context.env) }
  }

  async #facts(): Promise<ConditionFacts> {
    const needsChanges = this.#chosen.playbook?.steps.some(usesChanges)
    return needsChanges
      ? { ...this.#known(), changed: await pathsChanged(this.#context, this.#args.start) }
      : this.#known()
  }

  async #phase(
    phase: 'setup' | 'test',
    facts: ConditionFacts,
    before?: (step: PlaybookStep) => Promise<void>,
  ): Promise<PlaybookSummary> {
    const { signal } = this.#context
    let progress = begin(this.#chosen.playbook!, phase, facts)
    for (;;) {
      const todo = next(progress)
      if (todo.do === 'end') {
        for (const { name, status, told } of todo.summary.steps)
          if (told !== undefined) this.#say(`${name}: ${status}: ${told}`)
        this.#say(todo.summary.message)
        return todo.summary
      }
      const { index, step, wait_ms } = todo
      if (wait_ms > 0) await sleep(wait_ms, undefined, { signal })
      await before?.(step)
      progress = record(progress, index, await this.#try(step, todo.try))
    }
  }

  async #try(step: PlaybookStep, number: number): Promise<TryEnd> {
    const context = this.#context
    const again = number > 1 ? `, try ${number}` : ''
    const [line] = step.command.trim().split('\n', 1)
    if (step.name !== line) context.phase(step.phase, `${step.name}${again}`)
    this.#say(`$ ${line}${again}`)
    const folder = join(context.folder, `playbook.${++this.#commands}`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const [began, stdout] = [join(folder, 'began'), join(folder, 'stdout')]
    writeFileSync(began, '')
    const beganMs = performance.now()
    const followed = new FollowedOutput(stdout, (text) => context.write('stdout', text))
    let end: BoxedEnd
    try {
      // Into a file as well, since tests may report there.
      end = await context.boxed({
        argv: ['/bin/sh', '-c', step.command],
        cwd: this.#cwd,
        env: { ...context.env, ...texts(step.env) },
        stdout: { file: stdout },
        timeout_ms: step.timeout_seconds * 1000,
        writable: this.#writable,
      })
    } finally {
      followed.end()
    }
    const tried = tryEnd(end, performance.now() - beganMs)
    if (step.phase === 'test' && tried.ended === 'exit')
      await this.#read(step, {
        began,
        stdout,
        exitCode: tried.exit_code,
        last: tried.exit_code === 0 || number > step.retry_count,
      })
    // The step's own output has it too.
    rmSync(folder, { recursive: true, force: true })
    return tried
  }

  /** Reads the figures of a step's last try. */
  async #read(
    step: PlaybookStep,
    { began, stdout, exitCode, last }: { began: string; stdout: string; exitCode: number; last: boolean },
  ): Promise<void> {
    if (!last) return
    const { name, artifacts = [] } = step
    const { figures, notes } = await readTests(this.#context, {
      ...{ name, artifacts, began, stdout, exitCode },
      ...{ cwd: this.#cwd, writable: this.#writable },
    })
    for (const note of notes) this.#say(note)
    if (figures === undefined) return
    const { shown } = this.#context
    const masked = { ...figures, suite: shown(figures.suite), failed_names: figures.failed_names.map(shown) }
    this.#figures.push(masked)
    this.#context.report({ type: 'tests', tests: masked })
  }

  #say(text: string): void {
    this.#context.write('stdout', `${text}\n`)
  }

  #mustPass(summary: PlaybookSummary, reason: 'workspace' | 'test', figures?: TestFigures): void {
    if (summary.outcome === 'success') return
    const names = figures?.failed_names.slice(0, 5) ?? []
    const failed = names.length === 0 ? '' : ` Failed: ${names.join('; ')}.`
    const hint =
      reason === 'test'
        ? 'The output of the step says more. The work so far is saved.'
        : 'The steps with phase: setup of the playbook must work on the branch that the task starts from.'
    throw new StepFailure(reason, this.#context.shown(`${summary.message}${failed}`), hint)
  }
}

const texts = (env: Readonly<Record<string, unknown>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)]))

function figuresText({ passed, failed, skipped, flaky = 0 }: TestFigures): string {
  const more = flaky > 0 ? `, ${flaky} flaky` : ''
  return `${passed} passed, ${failed} failed, ${skipped} skipped${more}.`
}

function tryEnd(end: BoxedEnd, duration_ms: number): TryEnd {
  switch (end.type) {
    case 'exited':
      return { duration_ms, ended: 'exit', exit_code: end.code }
    case 'signaled':
      return { duration_ms, ended: 'signal', signal: end.signal }
    case 'timed_out':
      return { duration_ms, ended: 'timeout' }
    case 'not_started':
      return { duration_ms, ended: 'not_started', told: end.message }
    case 'stopped':
      return { duration_ms, ended: 'canceled' }
  }
}
