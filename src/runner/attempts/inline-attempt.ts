import { join } from 'node:path'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { outputFileName } from '../../contract/output-file-name.ts'
import { makeFolder } from '../../platform/make-folder.ts'
import type { Action, HeldAttempt } from '../ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import { HeldReports } from './held-reports.ts'
import { InlineOutput } from './inline-output.ts'
import { InlineRun } from './inline-run.ts'
import { outputFolder } from './output-files.ts'

export interface InlineAttemptOptions {
  action: Extract<Action, { kind: 'inline' }>
  spec: AttemptSpec
  epoch: number
  secrets: AttemptSecrets
  /** Made only for output that is too large for memory. */
  folder: string
  cwd: string
  /** What a relative `output_path` is seen from. */
  outputDir: string
  timeoutGraceMs: number
  onReleased(): void
}

/** An attempt carried out by this process itself, and gone with it: nothing of it needs to be on disk. */
export class InlineAttempt implements HeldAttempt {
  readonly spec: AttemptSpec
  readonly epoch: number
  readonly #run: InlineRun
  readonly #secrets: AttemptSecrets
  readonly #outputDir: string
  readonly #onReleased: () => void
  readonly #reports = new HeldReports()
  readonly #outputs: Readonly<Record<StreamName, InlineOutput>>

  constructor(options: InlineAttemptOptions) {
    const { spec, epoch, secrets, folder, outputDir, onReleased } = options
    this.spec = spec
    this.epoch = epoch
    this.#secrets = secrets
    this.#outputDir = outputDir
    this.#onReleased = onReleased
    this.#outputs = {
      stdout: new InlineOutput(join(folder, 'stdout')),
      stderr: new InlineOutput(join(folder, 'stderr')),
    }
    this.#run = new InlineRun({ ...options, write: (stream, bytes) => this.#write(stream, bytes) })
  }

  get reports(): readonly AttemptReport[] {
    return this.#reports.list
  }
  get ended() {
    return this.#reports.ended
  }

  length(stream: StreamName): number {
    return this.#outputs[stream].length
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await this.#outputs[stream].read(offset, max)
  }

  onChange(listener: () => void): () => void {
    return this.#reports.onChange(listener)
  }

  /** Once. Resolves at its end. */
  async begin(): Promise<void> {
    this.#reports.add({ type: 'started', time: new Date().toISOString() })
    for (const message of this.#secrets.warnings)
      this.#reports.add({ type: 'phase', phase: 'secrets', message })
    const end = await this.#run.run()
    const streams = { stdout: this.#outputs.stdout.end(), stderr: this.#outputs.stderr.end() }
    this.#reports.add({ ...end, ...(await this.#placeFiles(end)), streams })
    this.#secrets.discard()
  }

  cancel(graceMs: number, reason: string): void {
    this.#run.stop({ type: 'canceled', reason }, graceMs)
  }

  endAsLost(graceMs: number, message: string): void {
    this.#run.stop({ type: 'failed', reason: 'lost', message }, graceMs)
  }

  async release(): Promise<void> {
    this.cancel(0, 'canceled')
    await this.#reports.whenEnded
    await Promise.all([this.#outputs.stdout.remove(), this.#outputs.stderr.remove()])
    this.#onReleased()
  }

  /** It cannot go on without this process. */
  async close(): Promise<void> {
    this.#run.stop({ type: 'closed' }, 0)
    await this.#reports.whenEnded
  }

  async #write(stream: StreamName, bytes: Buffer): Promise<void> {
    try {
      if (!this.ended) await this.#outputs[stream].append(bytes)
    } catch (cause) {
      throw new ErrandError('disk_full', `Its output could not be kept: ${(cause as Error).message}.`, {
        cause,
      })
    }
    this.#reports.changed()
  }

  async #placeFiles(end: AttemptEnd): Promise<Partial<AttemptEnd>> {
    const folder = outputFolder(this.spec, this.#outputDir)
    if (folder === undefined) return {}
    const file = (stream: StreamName) => join(folder, outputFileName(this.spec, stream))
    const output_files = { stdout: file('stdout'), stderr: file('stderr') }
    try {
      await makeFolder(folder)
      await this.#outputs.stdout.copyTo(output_files.stdout)
      await this.#outputs.stderr.copyTo(output_files.stderr)
      return { output_files }
    } catch (error) {
      if (end.outcome !== 'success') return {}
      const message = `Its output could not be put into ${folder}: ${(error as Error).message}.`
      return { outcome: 'failed', reason: 'output_failed', message }
    }
  }
}
