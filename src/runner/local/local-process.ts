import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttemptEnd, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { ChildTree } from '../../platform/process-ending.ts'
import { attemptEnd } from '../attempts/attempt-end.ts'
import { callAt } from '../attempts/deadline.ts'
import { ExportScanner } from '../attempts/export-scanner.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import { OutputValues } from '../attempts/output-values.ts'
import { markOf } from '../attempts/process-environment.ts'
import { type Launch, startFailure } from '../attempts/start-failure.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import type { ProcessPlan } from '../ports.ts'
import type { LocalCages } from './local-cages.ts'
import { type LocalChild, spawnLocal } from './local-child.ts'
import { LocalLimits } from './local-limits.ts'
import { OutputPump } from './output-pump.ts'

export interface LocalProcessOptions {
  spec: AttemptSpec
  plan: ProcessPlan
  launch: Launch
  /** Value of the mark in the process's environment. */
  key: string
  sink: AttemptSink
  graceMs: number
  /** Hides its secrets; absent: it has none. */
  masker?: Masker
  /** What holds steps to their limits here; loaded where it is needed. */
  cages(): Promise<LocalCages>
  onStarted(pid: number): void
}

/** One command, run as a child of this process. */
export class LocalProcess {
  readonly #options: LocalProcessOptions
  readonly #scanner: ExportScanner | undefined
  readonly #values: OutputValues | undefined
  readonly #masked: Readonly<Record<StreamName, StreamMasker>> | undefined
  readonly #limits: LocalLimits
  readonly #ended = Promise.withResolvers<Ending>()
  readonly #tree: ChildTree
  #cause: Cause | undefined
  #over = false

  constructor(options: LocalProcessOptions) {
    this.#options = options
    if (options.plan.export_vars) this.#scanner = new ExportScanner()
    if (options.spec.outputs !== undefined) this.#values = new OutputValues(options.spec)
    const { masker, spec, key, launch, cages } = options
    this.#limits = new LocalLimits({
      spec,
      key,
      folder: launch.cwd,
      cages,
      onBreach: (breach) => this.stop({ type: 'failed', ...breach }, true),
    })
    const { members } = this.#limits
    this.#tree = new ChildTree(markOf(key), { members, seal: () => this.#limits.seal() })
    this.#masked = masker && { stdout: masker.stream(), stderr: masker.stream() }
  }

  /** Runs it, once. Never rejects; resolves when the sink has taken all output. */
  async run(): Promise<AttemptEnd> {
    const startedAt = performance.now()
    const { plan, key } = this.#options
    const { script } = plan
    let folder: string | undefined
    const writtenScript = () => {
      if (script === undefined) return undefined
      folder = mkdtempSync(join(tmpdir(), `errand-${key.replace('/', '-')}-`))
      return writeScript(folder, script)
    }
    try {
      const end = await this.#carryOut(writtenScript)
      return { ...end, duration_ms: Math.round(performance.now() - startedAt) }
    } finally {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    }
  }

  /** The first cause counts; a later call can only make it quicker. */
  stop(cause: Cause, force = false): void {
    if (force) this.#tree.hurry()
    if (this.#cause !== undefined || this.#over) return
    this.#cause = cause
    if (this.#tree.group !== undefined) this.#endAll()
  }

  #endAll(): void {
    // What not even SIGKILL ends is not waited for.
    void this.#tree
      .stop(this.#options.graceMs)
      .then((gone) => gone || this.#ended.resolve({ type: 'stopped' }))
  }

  async #carryOut(writtenScript: () => string | undefined): Promise<AttemptEnd> {
    const { launch, spec, onStarted } = this.#options
    const pumps: OutputPump[] = []
    try {
      const scriptFile = writtenScript()
      const argv = scriptFile === undefined ? launch.argv : [...launch.argv, scriptFile]
      const enter = this.#limits.limited ? await this.#limits.make() : []
      // It was stopped while its limits were made.
      if (this.#cause !== undefined) this.#ended.resolve({ type: 'stopped' })
      else {
        const child = spawnLocal({ ...launch, argv }, enter, this.#ended.resolve)
        child.once('error', (error) =>
          this.#ended.resolve({ type: 'start_failed', message: startFailure(error, launch) }),
        )
        if (child.pid !== undefined) {
          pumps.push(...this.#pumps(child))
          child.stdout.once('end', () => this.#limits.ending())
          this.#tree.group = child.pid
          this.#limits.begun(child.pid)
          onStarted(child.pid)
        }
      }
    } catch (error) {
      this.#ended.resolve({ type: 'start_failed', message: startFailure(error, launch) })
    }
    const takeBack = this.#limitTime(spec.timeout_ms)
    const ending = await this.#ended.promise
    this.#over = true
    takeBack?.()
    const breach = await this.#limits.lastLook()
    const ran = this.#tree.group !== undefined
    if (breach !== undefined && this.#cause === undefined && ran) {
      this.#cause = { type: 'failed', ...breach }
      this.#tree.hurry()
      this.#endAll()
    }
    await this.#tree.sweep()
    for (const pump of pumps) pump.processEnded()
    for (const pump of pumps) await pump.drained
    const { masker } = this.#options
    const hidden = this.#masked && (this.#masked.stdout.hidden || this.#masked.stderr.hidden)
    const cause = this.#cause
    const usage = this.#limits.end()
    const end = attemptEnd({ ending, cause, scanner: this.#scanner, values: this.#values, masker, hidden })
    return ran ? { ...end, usage } : end
  }

  #pumps(child: LocalChild): OutputPump[] {
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
      new OutputPump({
        pipe: child.stdout,
        stream: 'stdout',
        sink,
        masked: this.#masked?.stdout,
        onError,
        onBytes,
      }),
      new OutputPump({
        pipe: child.stderr,
        stream: 'stderr',
        sink,
        masked: this.#masked?.stderr,
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
