import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { isErrandError, messageOf, messageWithHint } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Log } from '../../platform/log.ts'
import { Mutex } from '../../platform/sync.ts'
import { Backoff } from '../../platform/time.ts'
import type { RunCheckouts } from '../attempts/workspaces.ts'
import { type PlatformStep, StepFailure } from '../platform-steps/platform-step.ts'
import { slotFolder } from './requested-slot.ts'

/** Describes an external repo pool. Throws `service_answer`, and `unavailable` if it cannot be reached. */
export interface PoolService {
  readonly url: string
  /** Allocates a slot; the same holder gets the same slot. */
  allocate(
    ask: { repo_url: string; required_by: string; timeout_seconds: number },
    signal: AbortSignal,
  ): Promise<{ slot_id: string; slot_path: string; fence?: string }>
  /** Releases a slot. Idempotent. */
  release(slotId: string, fence: string | undefined, signal: AbortSignal): Promise<void>
}

export interface ForeignSlotsOptions {
  service: PoolService
  /** Folder with the file that records which runs have a slot. */
  dir: string
  /** Folders that slots may be in, except those of the runner's own. */
  allowed: readonly string[]
  own: readonly string[]
  /** First delay in ms before a release is retried while the pool is away; doubled, up to a minute. Default 1 s. */
  retryMs?: number
  log: Log
}

/** Slot of each run; `is_over`: it is to be given back. */
const Noted = z.record(
  z.string(),
  z.object({ slot_id: z.string(), fence: z.string().optional(), is_over: z.boolean() }),
)
type Noted = z.infer<typeof Noted>

const WAIT_SECONDS = 600
const MAX_WAIT_MS = 60_000

/**
 * Manages the slots of an external repo pool that runs of this runner work in. A run has one slot. It is given back
 * when the run is over, however long the pool is away, and by a later process if necessary.
 */
export class ForeignSlots {
  readonly #options: ForeignSlotsOptions
  readonly #file: string
  readonly #noted: Noted
  readonly #stop = new AbortController()
  readonly #backoff: Backoff
  #timer: NodeJS.Timeout | undefined
  readonly #returns = new Mutex()

  constructor(options: ForeignSlotsOptions) {
    const { dir, retryMs: firstMs = 1000 } = options
    this.#options = options
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.#file = join(dir, 'foreign-slots.json')
    this.#noted = readNoted(this.#file)
    this.#backoff = new Backoff({ firstMs, maxMs: MAX_WAIT_MS })
    this.#giveBack()
  }

  /** Wraps the steps: `git.workspace` works in a slot of the pool unless it names a folder. */
  steps<S extends Promise<PlatformStep> | undefined>(stepOf: (action: string) => S): (action: string) => S {
    return (action) => {
      const step = stepOf(action)
      if (action !== 'git.workspace' || step === undefined) return step
      return step.then((inner): PlatformStep => ({ run: (context) => this.#run(inner, context) })) as S
    }
  }

  /** Wraps the checkouts: slots of runs are released with them. */
  over(checkouts: RunCheckouts): RunCheckouts {
    return {
      of: (runId) => checkouts.of(runId),
      runs: () => [...new Set([...checkouts.runs(), ...this.runs()])],
      keep: (runId) => {
        checkouts.keep(runId)
        this.release(runId)
      },
      release: async (runId) => {
        this.release(runId)
        await checkouts.release(runId)
      },
    }
  }

  /** Returns the runs that have a slot. */
  runs(): string[] {
    return Object.keys(this.#noted).filter((runId) => !this.#noted[runId]!.is_over)
  }

  /** Ends a run: its slot is given back in the background. */
  release(runId: string): void {
    const slot = this.#noted[runId]
    if (slot === undefined || slot.is_over) return
    this.#note(runId, { ...slot, is_over: true })
    this.#giveBack()
  }

  /** Stops the work in the background. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    await this.#returns.settled()
  }

  async #run(inner: PlatformStep, context: Parameters<PlatformStep['run']>[0]) {
    const args = context.args as { repo: string; slot_path?: string }
    if (args.slot_path !== undefined) return await inner.run(context)
    const slot_path = await this.#slotFor(context.spec.run_id, args.repo, context.signal)
    const handedOn = Object.create(context, { args: { value: { ...args, slot_path }, enumerable: true } })
    return await inner.run(handedOn)
  }

  async #slotFor(runId: string, repo_url: string, signal: AbortSignal): Promise<string> {
    const { service, allowed, own } = this.#options
    const ask = { repo_url, required_by: runId, timeout_seconds: WAIT_SECONDS }
    const { slot_id, slot_path, fence } = await service.allocate(ask, signal).catch((error) => {
      signal.throwIfAborted()
      const status = isErrandError(error) && (error.details as { status?: number } | undefined)?.status
      if (!isErrandError(error) || (error.code !== 'unavailable' && status !== 503)) throw error
      throw new StepFailure('workspace', messageWithHint(error))
    })
    this.#note(runId, { slot_id, fence, is_over: false })
    return slotFolder(slot_path, { allowed, own }, `of the pool at ${service.url}`)
  }

  #giveBack(): void {
    clearTimeout(this.#timer)
    void this.#returns.run(async () => {
      let isAway = false
      for (const [runId, { slot_id, fence, is_over }] of Object.entries(this.#noted)) {
        if (!is_over || this.#stop.signal.aborted) continue
        try {
          await this.#options.service.release(slot_id, fence, this.#stop.signal)
          this.#note(runId, undefined)
        } catch (error) {
          if (this.#stop.signal.aborted) return
          const { service, log } = this.#options
          const status = isErrandError(error) && (error.details as { status?: number } | undefined)?.status
          const isRefused = typeof status === 'number' && status >= 300 && status < 500 && status !== 429
          if (isRefused) this.#note(runId, undefined)
          else isAway = true
          const what = isRefused ? 'is left to' : 'will be returned later to'
          log(`The slot ${slot_id} ${what} the pool at ${service.url}: ${messageOf(error)}`, {
            level: 'warn',
          })
        }
      }
      if (!isAway) return this.#backoff.reset()
      this.#timer = setTimeout(() => this.#giveBack(), this.#backoff.next()).unref()
    })
  }

  #note(runId: string, slot: Noted[string] | undefined): void {
    if (slot === undefined) delete this.#noted[runId]
    else this.#noted[runId] = slot
    writeFileAtomic(this.#file, JSON.stringify(this.#noted), { mode: 0o600 })
  }
}

function readNoted(file: string): Noted {
  try {
    return Noted.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return {}
  }
}
