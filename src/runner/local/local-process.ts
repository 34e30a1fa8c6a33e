import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { endTree, sweepGroup } from '../../platform/process-ending.ts'
import { attemptEnd } from '../attempts/attempt-end.ts'
import { callAt } from '../attempts/deadline.ts'
import { ExportScanner } from '../attempts/export-scanner.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import { OutputValues } from '../attempts/output-values.ts'
import { markOf } from '../attempts/process-environment.ts'
import { type Launch, startFailure } from '../attempts/start-failure.ts'
import type { ProcessPlan } from '../ports.ts'
import { OutputPump } from './output-pump.ts'

const SWEEP_GRACE_MS = 300

export interface LocalProcessOptions {
  spec: AttemptSpec
  plan: ProcessPlan
  launch: Launch
  /** Value of the mark in the process's environment. */
  key: string
  sink: AttemptSink
  graceMs: number
  onStarted(pid: number): void
}

/** One command, run as a child of this process. */
export class LocalProcess {
  readonly #options: LocalProcessOptions
  readonly #force = new AbortController()
  readonly #scanner: ExportScanner | undefined
  readonly #values: OutputValues | undefined
  readonly #ended = Promise.withResolvers<Ending>()
  #cause: Cause | undefined
  #pid: number | undefined
  #stopping: Promise<boolean> | undefined
  #over = false

  constructor(options: LocalProcessOptions) {
    this.#options = options
    if (options.plan.export_vars) this.#scanner = new ExportScanner()
    if (options.spec.outputs !== undefined) this.#values = new OutputValues(options.spec)
  }

  /** Runs it, once. Never rejects; resolves when the sink has taken all output. */
  async run(): Promise<AttemptEnd> {
    const startedAt = performance.now()
    const { script } = this.#options.plan
    const folder = script === undefined ? undefined : mkdtempSync(join(tmpdir(), 'errand-'))
    try {
      const end = await this.#carryOut(folder && writeScript(folder, script!))
      return { ...end, duration_ms: Math.round(performance.now() - startedAt) }
    } finally {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    }
  }

  /** The first cause counts; a later call can only make it quicker. */
  stop(cause: Cause, force = false): void {
    if (force) this.#force.abort()
    if (this.#cause !== undefined || this.#over) return
    this.#cause = cause
    if (this.#pid !== undefined) this.#endAll(this.#pid)
  }

  #endAll(pid: number): void {
    const tree = { group: pid, mark: markOf(this.#options.key) }
    this.#stopping = endTree(tree, this.#options.graceMs, this.#force.signal)
    // What not even SIGKILL ends is not waited for.
    void this.#stopping.then((gone) => gone || this.#ended.resolve({ type: 'stopped' }))
  }

  async #carryOut(scriptFile: string | undefined): Promise<AttemptEnd> {
    const { launch, spec, onStarted } = this.#options
    const argv = scriptFile === undefined ? launch.argv : [...launch.argv, scriptFile]
    const pumps: OutputPump[] = []
    try {
      const child = spawn(argv[0]!, argv.slice(1), {
        cwd: launch.cwd,
        env: launch.env,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      child.once('error', (error) =>
        this.#ended.resolve({ type: 'start_failed', message: startFailure(error, launch) }),
      )
      child.once('exit', (code, signal) => this.#ended.resolve(endingOf(code, signal)))
      if (child.pid !== undefined) {
        pumps.push(...this.#pumps(child))
        this.#pid = child.pid
        onStarted(child.pid)
      }
    } catch (error) {
      this.#ended.resolve({ type: 'start_failed', message: startFailure(error, launch) })
    }
    const takeBack = this.#limitTime(spec.timeout_ms)
    const ending = await this.#ended.promise
    this.#over = true
    takeBack?.()
    if (this.#pid !== undefined) await (this.#stopping ?? sweepGroup(this.#pid, SWEEP_GRACE_MS))
    for (const pump of pumps) pump.processEnded()
    for (const pump of pumps) await pump.drained
    return attemptEnd({ ending, cause: this.#cause, scanner: this.#scanner, values: this.#values })
  }

  #pumps(child: ChildProcessByStdio<null, Readable, Readable>): OutputPump[] {
    const { sink } = this.#options
    const scanner = this.#scanner
    const values = this.#values
    const onError = (error: unknown) => {
      const message = `Its output could not be kept: ${(error as Error).message}.`
      const cause: Cause = { type: 'failed', reason: 'output_failed', message }
      this.stop(cause, true)
      // Where the process has ended already, there is nothing to stop, and it counts all the same.
      this.#cause ??= cause
    }
    const onBytes =
      scanner === undefined && values?.wants('stdout') !== true
        ? undefined
        : (chunk: Buffer) => {
            scanner?.push(chunk)
            values?.push('stdout', chunk)
          }
    return [
      new OutputPump({ pipe: child.stdout, stream: 'stdout', sink, onError, onBytes }),
      new OutputPump({
        pipe: child.stderr,
        stream: 'stderr',
        sink,
        onError,
        onBytes: values?.wants('stderr') ? (chunk) => values.push('stderr', chunk) : undefined,
      }),
    ]
  }

  #limitTime(timeoutMs: number | undefined): (() => void) | undefined {
    if (timeoutMs === undefined) return undefined
    return callAt(Date.now() + timeoutMs, () => this.stop({ type: 'timeout', after_ms: timeoutMs }))
  }
}

function writeScript(folder: string, script: string): string {
  const file = join(folder, 'script')
  writeFileSync(file, script, { mode: 0o600 })
  return file
}

function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  return signal === null ? { type: 'exited', code: code ?? 0 } : { type: 'signaled', signal }
}
