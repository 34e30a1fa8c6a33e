import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, mkdir, open, rm, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, isErrandError, messageOf } from '../../contract/errors.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import {
  type Artifact,
  type ArtifactKind,
  ArtifactName,
  MAX_ARTIFACT_BYTES,
  MAX_RUN_ARTIFACT_BYTES,
  MAX_RUN_ARTIFACTS,
} from '../../contract/tasks/artifact.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import type { AttemptJournal } from '../attempts/journal.ts'
import { type Asking, HubRetry } from '../link/hub-retry.ts'
import { KnownSecrets } from '../masking/known-secrets.ts'
import type { NamedSecret } from '../masking/masker.ts'
import { checkGlobs, matchingFiles } from './matching-files.ts'
import { fetchNeededFiles } from './needed-files.ts'

/** Stores what attempts leave. */
export interface ArtifactSink {
  /**
   * Stores the bytes of a file; idempotent. When it resolves, they are durable and may be reported. Throws an
   * `ErrandError`: one of `refusals` if it never will, otherwise it may be tried again.
   */
  put(spec: AttemptSpec, artifact: Artifact, file: string, signal: AbortSignal): Promise<void>
  /**
   * Returns bytes that a run has stored, for an attempt of the same tenant. Throws `not_found`, and `HubAway`, also if
   * the stream breaks off.
   */
  get(runId: string, artifactId: string, signal: AbortSignal): Promise<Readable>
  /** Decides how long to retry; absent if the sink is on this machine. */
  readonly retry?: HubRetry
}

const refusals: readonly string[] = [
  'body_too_large',
  'quota_exceeded',
  'bad_request',
  'not_found',
  'run_ended',
  'forbidden',
  'method_not_allowed',
]

/** Describes something to store; `file` is one of the runner's own, which nobody else writes to. */
export type Keepable = {
  kind: ArtifactKind
  name: string
  /** Media type; default: according to the name. */
  media_type?: string
} & ({ file: string } | { bytes: Buffer | string })

/** Describes an attempt that stores something. */
export interface KeepingAttempt {
  spec: AttemptSpec
  journal: AttemptJournal
  /** Folder of the runner for temporary files, which is deleted at the end. */
  scratch: string
  /** Ends the retries: what is not stored by then is reported as lost. */
  signal: AbortSignal
  /** Secrets; files of the workspace that contain one are not stored. */
  withheld?: readonly NamedSecret[]
}

export interface KeeperLimits {
  /** Time in ms that a sink that is away is retried, while there is a link to the hub (default 24 h). */
  triedMs?: number
  bytes?: number
  totalBytes?: number
  count?: number
}

/** Limit for names in a message; there may be a thousand. */
const NAMED = 5

interface CollectContext {
  scratch: string
  /** Names of what was stored before. */
  reported: ReadonlySet<string>
  report(message: string): void
  secrets: KnownSecrets
}

/** Stores what attempts leave, and reports each thing once it is durable. */
export class ArtifactKeeper {
  readonly #sink: ArtifactSink
  readonly #limits: Required<KeeperLimits>
  readonly #retry: HubRetry
  /** Stores an attempt's artifacts one at a time, because their ids are consecutive. */
  readonly #mutex = new KeyedMutex<AttemptJournal>()

  constructor(sink: ArtifactSink, limits: KeeperLimits = {}) {
    this.#sink = sink
    this.#retry = sink.retry ?? new HubRetry()
    this.#limits = {
      triedMs: limits.triedMs ?? 24 * 3_600_000,
      bytes: limits.bytes ?? MAX_ARTIFACT_BYTES,
      totalBytes: limits.totalBytes ?? MAX_RUN_ARTIFACT_BYTES,
      count: limits.count ?? MAX_RUN_ARTIFACTS,
    }
  }

  /**
   * Stores the files of its workspace that `spec.artifacts` requests, when nothing of the attempt runs any more.
   * Repeated, it skips what was reported before. Returns a text for its end about what could not be sent; never
   * rejects.
   */
  async keepFiles(attempt: KeepingAttempt, workspace: string): Promise<string | undefined> {
    const { spec, journal, scratch, signal, withheld = [] } = attempt
    const reported = new Set(
      artifactsOf(journal).flatMap(({ kind, name }) => (kind === 'file' ? [name] : [])),
    )
    const report = (message: string) => void journal.add({ type: 'phase', phase: 'artifacts', message })
    const unsent: string[] = []
    let why = ''
    try {
      const secrets = new KnownSecrets(withheld)
      const taken = await this.#collect(spec.artifacts ?? [], workspace, {
        scratch,
        reported,
        report,
        secrets,
      })
      for (const { artifact, file } of taken)
        try {
          if (why === '') await this.#send(attempt, { ...artifact, artifact_id: nextId(spec, journal) }, file)
          else unsent.push(artifact.name)
        } catch (error) {
          if (isRefusal(error)) report(`${artifact.name} was not stored: ${messageOf(error)}`)
          else {
            why = signal.aborted ? 'the attempt had to end' : messageOf(error)
            unsent.push(artifact.name)
          }
        }
    } catch (error) {
      why = messageOf(error)
      report(`Files could not be stored: ${why}.`)
    } finally {
      await rm(scratch, { recursive: true, force: true }).catch(() => undefined)
    }
    if (unsent.length === 0) return undefined
    return `artifact_upload: ${listed(unsent)} could not be stored: ${why.replace(/\.$/, '')}.`
  }

  /**
   * Stores one thing, and reports it. Throws the sink's refusal, `disk_full`, and `unavailable` if its time is over.
   */
  keep(attempt: KeepingAttempt, keepable: Keepable): Promise<Artifact> {
    return this.#mutex.run(attempt.journal, () => this.#keep(attempt, keepable))
  }

  async #keep(attempt: KeepingAttempt, keepable: Keepable): Promise<Artifact> {
    const { spec, journal, scratch } = attempt
    const { kind, name, media_type } = keepable
    ArtifactName.parse(name)
    await mkdir(scratch, { recursive: true, mode: 0o700 })
    const artifact_id = nextId(spec, journal)
    const own = join(scratch, artifact_id)
    const file = 'file' in keepable ? keepable.file : own
    try {
      if ('bytes' in keepable) await writeFile(own, keepable.bytes, { mode: 0o600 })
      const measured = await measure(file)
      const artifact = { artifact_id, kind, name, ...measured, media_type: media_type ?? mediaType(name) }
      await this.#send(attempt, artifact, file)
      return artifact
    } finally {
      await rm(own, { force: true })
    }
  }

  /** Writes what a run has stored to a file, from its beginning at each try. Throws like `ArtifactSink.get`. */
  async fetch(runId: string, artifactId: string, file: string, asking: Asking): Promise<void> {
    const { signal } = asking
    await this.#retry.whileAway(async () => {
      const content = await this.#sink.get(runId, artifactId, signal)
      await pipeline(content, createWriteStream(file, { mode: 0o600 }), { signal })
    }, asking)
  }

  /** Puts the files that the attempt needs into its workspace; see `fetchNeededFiles`. */
  async fetchNeededFiles(spec: AttemptSpec, workspace: string, asking: Asking): Promise<void> {
    const fetch = (runId: string, artifactId: string) => this.#sink.get(runId, artifactId, asking.signal)
    await fetchNeededFiles(spec, workspace, { fetch, retry: this.#retry }, asking)
  }

  /** Copies the files at once: other steps of the run may continue in the same workspace. */
  async #collect(
    globs: readonly string[],
    workspace: string,
    { scratch, reported, report, secrets }: CollectContext,
  ): Promise<{ artifact: Omit<Artifact, 'artifact_id'>; file: string }[]> {
    checkGlobs(globs)
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch, { recursive: true, mode: 0o700 })
    const taken: { artifact: Omit<Artifact, 'artifact_id'>; file: string }[] = []
    const left = new Map<string, string[]>()
    const leave = (why: string, path: string) => void left.set(why, [...(left.get(why) ?? []), path])
    let total = 0
    for await (const { path, file, why } of matchingFiles(workspace, globs)) {
      if (reported.has(path)) continue
      if (why !== undefined) leave(why, path)
      else if (!ArtifactName.safeParse(path).success) leave('its name is not a valid artifact name', path)
      else if (taken.length + reported.size >= this.#limits.count)
        leave(`there are more than ${this.#limits.count} files`, path)
      else {
        const target = join(scratch, String(taken.length))
        const most = Math.min(this.#limits.bytes, this.#limits.totalBytes - total)
        const copied = await copy(file, target, most)
        if (copied === undefined) {
          await rm(target, { force: true })
          const { bytes, totalBytes } = this.#limits
          leave(
            most === bytes
              ? `it has more than ${bytes} bytes`
              : `it has more than the ${most} bytes that are left of ${totalBytes} for all files`,
            path,
          )
          continue
        }
        const [secret] = await secrets.inFile(target)
        if (secret !== undefined) {
          await rm(target, { force: true })
          leave(`it contains the secret ${secret}`, path)
          continue
        }
        total += copied.bytes
        const artifact = { kind: 'file' as const, name: path, ...copied, media_type: mediaType(path) }
        taken.push({ artifact, file: target })
      }
    }
    for (const [why, paths] of left) report(`${listed(paths)} was not stored: ${why}.`)
    return taken
  }

  /** Sends one thing. It retries longer than for what can be requested again: finished work would be lost. */
  async #send({ spec, journal, signal }: KeepingAttempt, artifact: Artifact, file: string): Promise<void> {
    const isAway = (error: unknown) => !isRefusal(error)
    const waiting = (message: string) => void journal.add({ type: 'phase', phase: 'artifacts', message })
    const options = { signal, isAway, waiting, linkedMs: this.#limits.triedMs }
    await this.#retry.whileAway(() => this.#sink.put(spec, artifact, file, signal), options)
    if (journal.add({ type: 'artifact', artifact })) return
    throw new ErrandError('disk_full', "The artifact could not be recorded in the attempt's journal.")
  }
}

const isRefusal = (error: unknown): boolean => isErrandError(error) && refusals.includes(error.code)

function artifactsOf({ list }: AttemptJournal): Artifact[] {
  return list.flatMap((report) => (report.type === 'artifact' ? [report.artifact] : []))
}

const nextId = ({ attempt_id }: AttemptSpec, journal: AttemptJournal): string =>
  `${splitAttemptId(attempt_id).number}.${artifactsOf(journal).length + 1}`

const listed = (names: readonly string[]): string =>
  names.length <= NAMED
    ? names.join(', ')
    : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`

/** Copies a file; returns undefined if it has more than `most`. */
async function copy(
  from: FileHandle,
  to: string,
  most: number,
): Promise<{ bytes: number; sha256: string } | undefined> {
  const found = createHash('sha256')
  const piece = Buffer.allocUnsafe(256 * 1024)
  await using target = await open(to, 'wx', 0o600)
  for (let bytes = 0; ; ) {
    const { bytesRead } = await from.read(piece, 0, piece.length, bytes)
    if (bytesRead === 0) return { bytes, sha256: found.digest('hex') }
    bytes += bytesRead
    if (bytes > most) return undefined
    const read = piece.subarray(0, bytesRead)
    found.update(read)
    await target.writeFile(read)
  }
}

async function measure(file: string): Promise<{ bytes: number; sha256: string }> {
  const found = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(file)) {
    bytes += chunk.length
    found.update(chunk)
  }
  return { bytes, sha256: found.digest('hex') }
}

const types: Readonly<Record<string, string>> = {
  '.txt': 'text/plain; charset=utf-8',
  '.log': 'text/plain; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.json': 'application/json',
  '.xml': 'application/xml',
  '.html': 'text/html; charset=utf-8',
  '.diff': 'text/x-diff; charset=utf-8',
  '.patch': 'text/x-diff; charset=utf-8',
  '.tap': 'text/plain; charset=utf-8',
  '.yaml': 'application/yaml',
  '.yml': 'application/yaml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.svg': 'image/svg+xml',
  '.pdf': 'application/pdf',
  '.zip': 'application/zip',
  '.gz': 'application/gzip',
  '.tgz': 'application/gzip',
  '.tar': 'application/x-tar',
}

/** Returns the type from the name alone: the content is a stranger's. */
const mediaType = (name: string): string => types[extname(name).toLowerCase()] ?? 'application/octet-stream'
