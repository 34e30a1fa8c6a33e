import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { copyFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { HubRetry } from '../link/hub-retry.ts'
import type { ArtifactSink } from './artifact-keeper.ts'

/** Describes an external artifact store. */
export interface StoreService {
  readonly url: string
  put(
    artifact: { name: string; type: string; metadata: Record<string, unknown>; content: { file: string } },
    signal: AbortSignal,
  ): Promise<{ uri: string }>
}

export interface StoreOutboxOptions {
  /** Sink that stores artifacts in any case. */
  sink: ArtifactSink
  service: StoreService
  /** Folder of the outbox alone. */
  dir: string
  /** Time in ms that each artifact is retried (default 24 h). */
  triedMs?: number
  /** First delay in ms while the store is away; doubled, up to a minute. Default 1 s. */
  retryMs?: number
  log: Log
}

const Waiting = z.object({
  since_ms: z.number(),
  name: z.string(),
  type: z.string(),
  metadata: z.record(z.string(), z.unknown()),
})

const MAX_WAIT_MS = 60_000
const TRIED_MS = 24 * 3_600_000

/**
 * Sends what attempts store to an external artifact store too. It is first stored at the usual place, and then waits
 * here until the store has it: an absent store delays nothing. After a day of failures it is given up, which the log
 * reports with `artifact_upload`.
 */
export class StoreOutbox implements ArtifactSink {
  readonly #options: StoreOutboxOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #count = 0
  #news = Promise.withResolvers<void>()

  /** Opens the outbox, and resumes what an earlier process has left. */
  constructor(options: StoreOutboxOptions) {
    this.#options = options
    mkdirSync(options.dir, { recursive: true, mode: 0o700 })
    this.#done = this.#loop()
  }

  get retry(): HubRetry | undefined {
    return this.#options.sink.retry
  }

  async put(spec: AttemptSpec, artifact: Artifact, file: string, signal: AbortSignal): Promise<void> {
    const { sink, dir } = this.#options
    await sink.put(spec, artifact, file, signal)
    const { run_id, step, attempt_id } = spec
    const { artifact_id, kind: type, name, sha256 } = artifact
    // In the order in which they came.
    const path = join(dir, `${timeText(Date.now())}-${timeText(++this.#count)}`)
    await copyFile(file, path)
    {
      await using copy = await open(path, 'r+')
      await copy.sync()
    }
    const metadata = { run_id, step, attempt_id, artifact_id, sha256 }
    const waiting: z.infer<typeof Waiting> = { since_ms: Date.now(), name, type, metadata }
    writeFileAtomic(`${path}.json`, JSON.stringify(waiting), { mode: 0o600 })
    this.#news.resolve()
  }

  get(runId: string, artifactId: string, signal: AbortSignal): Promise<Readable> {
    return this.#options.sink.get(runId, artifactId, signal)
  }

  /** Stops sending; the next process sends the rest. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#news.resolve()
    await this.#done
  }

  async #loop(): Promise<void> {
    const { service, retryMs: firstMs = 1000, log, dir } = this.#options
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs, maxMs: MAX_WAIT_MS })
    let since: string | undefined
    // A copy that a kill cut short is reported nowhere, and its attempt stores it again.
    const names = readdirSync(dir)
    for (const name of names)
      if (!name.endsWith('.json') && !names.includes(`${name}.json`)) rmSync(join(dir, name), { force: true })
    while (!signal.aborted) {
      this.#news = Promise.withResolvers<void>()
      let failure: unknown
      for (const name of this.#waiting())
        await this.#send(name).catch((error) => {
          failure ??= error
        })
      if (signal.aborted) return
      if (failure === undefined) {
        backoff.reset()
        if (since !== undefined)
          log(`The artifact store at ${service.url} is back. Nothing was sent to it since ${since}.`)
        since = undefined
        await this.#news.promise
      } else {
        since ??= new Date().toISOString()
        log(
          `Uploads to the artifact store at ${service.url} have been delayed since ${since}: ${messageOf(failure)}`,
          {
            level: 'warn',
          },
        )
        await sleep(backoff.next(), undefined, { signal }).catch(() => undefined)
      }
    }
  }

  #waiting(): string[] {
    return readdirSync(this.#options.dir)
      .filter((name) => name.endsWith('.json'))
      .sort()
  }

  async #send(name: string): Promise<void> {
    const { service, dir, triedMs = TRIED_MS, log } = this.#options
    const { signal } = this.#stop
    signal.throwIfAborted()
    const path = join(dir, name)
    const file = path.slice(0, -'.json'.length)
    const forget = () => {
      rmSync(path, { force: true })
      rmSync(file, { force: true })
    }
    const { since_ms, ...artifact } = Waiting.parse(JSON.parse(readFileSync(path, 'utf8')))
    try {
      await service.put({ ...artifact, content: { file } }, signal)
      forget()
    } catch (error) {
      if (signal.aborted || Date.now() - since_ms < triedMs) throw error
      forget()
      const { run_id } = artifact.metadata as { run_id: string }
      log(
        `artifact_upload: gave up sending ${artifact.name} of ${run_id} to the artifact store at ${service.url}: ${messageOf(error)}`,
        { level: 'error', run_id },
      )
    }
  }
}

const timeText = (count: number): string => String(count).padStart(15, '0')
