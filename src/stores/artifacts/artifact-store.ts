import { createHash, hash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import { RunId } from '../../contract/ids.ts'
import {
  MAX_ARTIFACT_BYTES,
  MAX_RUN_ARTIFACT_BYTES,
  MAX_RUN_ARTIFACTS,
} from '../../contract/tasks/artifact.ts'
import { syncFolder } from '../../platform/files.ts'
import { diskError, isMissing } from '../disk-errors.ts'

/** Limits of what is stored. */
export interface ArtifactLimits {
  /** Bytes of one artifact (default 100 MiB). */
  bytes?: number
  /** Bytes of one run (default 1 GiB, 1,000 contents). */
  perRunBytes?: number
  perRunCount?: number
  /** Bytes of all runs of a user. Default: no limit. */
  perUserBytes?: number
}

/** The owner and run of artifacts. For artifacts that no run has stored, `stored` is their group: 32 hex digits. */
export type ArtifactPlace = { tenant: string; owner: string } & ({ run_id: string } | { stored: string })

/** Bytes to store, as the sender has measured them. */
export interface Measured {
  bytes: number
  /** The SHA-256 in hex. */
  sha256: string
}

/** A content that was received and has no place yet: call one of the two methods. */
export interface Received extends Measured {
  /** Stores it as `put` does, from its present file. */
  keep(place: ArtifactPlace): Promise<void>
  discard(): Promise<void>
}

const SHA256 = /^[0-9a-f]{64}$/
/** Names of users' folders, and of stored groups. */
const HEX_NAME = /^[0-9a-f]{32}$/
/** Folder of contents that are incomplete or have no place yet; not a possible name of a user's folder. */
const INCOMING = '.incoming'
/** Prefix of the folders of artifacts that no run has stored; no run id begins with it. */
const STORED = '+'
/** After this time, bytes without a log entry are orphans: their sender has given up. */
const ORPHAN_MS = 24 * 3_600_000
/** An orphan is found within this time, or goes with its run: older files are not checked each day. */
const CHECK_AFTER_MS = 8 * 24 * 3_600_000
/** Number of verified contents that are not read again for each reader. */
const KNOWN_GOOD = 1_000

/**
 * Stores the contents of artifacts, in files named by their SHA-256: `<dir>/<user>/<run id>/<sha256>`. The logs of the
 * runs say which artifact has which content; a log mentions it only after `put` has resolved.
 */
export class ArtifactStore {
  readonly #dir: string
  readonly #limits: Required<ArtifactLimits>
  /** Incoming bytes, by user and by run. */
  readonly #coming = new Map<string, number>()
  readonly #good = new Set<string>()
  #incoming: Promise<string> | undefined

  /** The folder is created with the first artifact. */
  constructor({ dir, limits = {} }: { dir: string; limits?: ArtifactLimits }) {
    this.#dir = resolve(dir)
    this.#limits = {
      bytes: limits.bytes ?? MAX_ARTIFACT_BYTES,
      perRunBytes: limits.perRunBytes ?? MAX_RUN_ARTIFACT_BYTES,
      perRunCount: limits.perRunCount ?? MAX_RUN_ARTIFACTS,
      perUserBytes: limits.perUserBytes ?? Number.POSITIVE_INFINITY,
    }
  }

  /**
   * Stores a content: when this resolves, it is on disk, even if the power fails. Idempotent; repairs a damaged copy.
   * Throws `body_too_large`, `quota_exceeded`, `bad_request` when the content is not as measured, `disk_full`; then
   * nothing of it is left, and the rest of `content` is unread.
   */
  async put(place: ArtifactPlace, measured: Measured, content: Readable): Promise<void> {
    const { bytes, sha256 } = measured
    if (!SHA256.test(sha256)) throw new ErrandError('bad_request', `"${sha256}" is not a SHA-256 in hex.`)
    if (bytes > this.#limits.bytes) throw tooLarge(this.#limits.bytes)
    await this.#keep(place, measured, (folder, file) => writeWhole(folder, file, measured, content))
  }

  /**
   * Receives a content whose length and sum are known only at its end; it is stored once a place for it is named.
   * Throws as `put`; then nothing of it is left, and the rest of `content` is unread.
   */
  async receive(content: Readable): Promise<Received> {
    const part = join(await this.#incomingFolder(), randomUUID())
    const measured = await writePart(part, content, this.#limits.bytes)
    if (measured === undefined) throw tooLarge(this.#limits.bytes)
    const discard = () => rm(part, { force: true })
    return {
      ...measured,
      discard,
      keep: async (place) => {
        try {
          await this.#keep(place, measured, async (folder, file) => {
            await rename(part, file)
            syncFolder(folder)
          })
        } finally {
          await discard()
        }
      },
    }
  }

  async #keep(
    place: ArtifactPlace,
    { bytes, sha256 }: Measured,
    write: (folder: string, file: string) => Promise<void>,
  ): Promise<void> {
    const folder = this.#folder(place)
    const file = join(folder, sha256)
    if ((await sizeOf(file)) === bytes && (await this.#isGood(file, sha256))) return
    const user = this.#userFolder(place)
    this.#count(user, bytes)
    this.#count(folder, bytes)
    try {
      await this.#checkRoom(place, folder, user)
      await makeDurable(this.#dir, user, folder)
      await write(folder, file)
    } catch (error) {
      throw broken(error) ?? diskError(error, folder)
    } finally {
      this.#count(user, -bytes)
      this.#count(folder, -bytes)
    }
  }

  /**
   * Opens a content from `start` (inclusive) to `end` (exclusive). Throws `not_found` when it does not exist, and
   * `output_damaged` when it no longer matches its name.
   */
  async open(
    place: ArtifactPlace,
    { bytes, sha256 }: Measured,
    { start = 0, end = bytes }: { start?: number; end?: number } = {},
  ): Promise<AsyncIterable<Buffer>> {
    const file = join(this.#folder(place), SHA256.test(sha256) ? sha256 : 'none')
    const size = await sizeOf(file)
    if (size === undefined)
      throw new ErrandError('not_found', `The content of ${sha256} of ${nameOf(place)} is missing.`, {
        hint: 'A backup may have them.',
      })
    if (size !== bytes || !(await this.#isGood(file, sha256)))
      throw new ErrandError(
        'output_damaged',
        `An artifact of ${nameOf(place)} is damaged: its ${size} bytes do not match the SHA-256 ${sha256}.`,
        { hint: "Check the hub's disk. A backup may have the complete artifact." },
      )
    return start >= end ? none() : createReadStream(file, { start, end: end - 1 })
  }

  /** Removes all contents of a run. Ignores unknown runs. */
  async remove(runId: string): Promise<void> {
    if (!RunId.safeParse(runId).success) return
    for (const user of await this.#users()) {
      const folder = join(this.#dir, user, runId)
      await rm(folder, { recursive: true, force: true }).catch((error) => {
        throw diskError(error, folder)
      })
    }
  }

  /** Removes a content. Ignores an unknown one. */
  async drop(place: ArtifactPlace, sha256: string): Promise<void> {
    if (!SHA256.test(sha256)) return
    const file = join(this.#folder(place), sha256)
    await rm(file, { force: true }).catch((error) => {
      throw diskError(error, file)
    })
  }

  /**
   * Removes contents that came a day ago or longer and that nothing refers to. `told` returns the SHA-256 sums in a
   * run's log, undefined when there is no such run; with `of: 'stored'` it returns those of a group. Returns how many
   * were removed.
   */
  async sweep(
    gathered: (gatheredBy: string) => Promise<ReadonlySet<string> | undefined>,
    nowMs: number,
    of: 'runs' | 'stored' = 'runs',
  ): Promise<number> {
    let removed = 0
    for (const user of await this.#users())
      for (const name of await namesIn(join(this.#dir, user))) {
        const isStored = name.startsWith(STORED)
        if (isStored ? of === 'runs' : of === 'stored' || !RunId.safeParse(name).success) continue
        const runId = isStored ? name.slice(STORED.length) : name
        const folder = join(this.#dir, user, name)
        const old: string[] = []
        for (const name of await namesIn(folder)) {
          const found = await stat(join(folder, name)).catch(() => undefined)
          const ageMs = found === undefined ? 0 : nowMs - found.mtimeMs
          if (ageMs >= ORPHAN_MS && ageMs < CHECK_AFTER_MS) old.push(name)
        }
        if (old.length === 0) continue
        const known = await gathered(runId)
        for (const name of old) {
          if (known?.has(name)) continue
          await rm(join(folder, name), { force: true })
          removed++
        }
      }
    return removed
  }

  async #checkRoom(place: ArtifactPlace, folder: string, user: string): Promise<void> {
    const { perRunBytes, perRunCount, perUserBytes } = this.#limits
    const run = await usageOf(folder)
    if (run.count >= perRunCount)
      throw full(`${capital(nameOf(place))} already has ${run.count} artifacts, which is the limit.`)
    if (run.bytes + this.#coming.get(folder)! > perRunBytes)
      throw full(
        `${capital(nameOf(place))} may have at most ${perRunBytes} bytes of artifacts (ERRAND_MAX_ARTIFACTS_RUN).`,
      )
    if (perUserBytes === Number.POSITIVE_INFINITY) return
    let bytes = this.#coming.get(user)!
    for (const name of await namesIn(user)) bytes += (await usageOf(join(user, name))).bytes
    if (bytes > perUserBytes)
      throw full(
        `The runs of ${place.owner} may have at most ${perUserBytes} bytes of artifacts (ERRAND_MAX_ARTIFACTS_USER).`,
      )
  }

  #count(key: string, bytes: number): void {
    const now = (this.#coming.get(key) ?? 0) + bytes
    if (now === 0) this.#coming.delete(key)
    else this.#coming.set(key, now)
  }

  async #isGood(file: string, sha256: string): Promise<boolean> {
    const { mtimeMs, ctimeMs, ino } = await stat(file)
    const key = `${file} ${mtimeMs} ${ctimeMs} ${ino}`
    if (this.#good.has(key)) return true
    const found = createHash('sha256')
    try {
      for await (const chunk of createReadStream(file)) found.update(chunk)
    } catch (error) {
      throw diskError(error, file)
    }
    if (found.digest('hex') !== sha256) return false
    this.#good.add(key)
    if (this.#good.size > KNOWN_GOOD) this.#good.delete(this.#good.values().next().value!)
    return true
  }

  async #users(): Promise<string[]> {
    return (await namesIn(this.#dir)).filter((name) => HEX_NAME.test(name))
  }

  /** Names of tenants and users are not file names, hence the hash. */
  #userFolder({ tenant, owner }: ArtifactPlace): string {
    return join(this.#dir, hash('sha256', JSON.stringify([tenant, owner])).slice(0, 32))
  }

  #folder(place: ArtifactPlace): string {
    if ('run_id' in place) return join(this.#userFolder(place), RunId.parse(place.run_id))
    if (!HEX_NAME.test(place.stored)) throw new Error(`"${place.stored}" is not a valid folder name`)
    return join(this.#userFolder(place), `${STORED}${place.stored}`)
  }

  /** Creates the folder on first use: files from an earlier process there belong to nobody. */
  #incomingFolder(): Promise<string> {
    this.#incoming ??= (async () => {
      const folder = join(this.#dir, INCOMING)
      try {
        await rm(folder, { recursive: true, force: true })
        await mkdir(folder, { recursive: true, mode: 0o700 })
        return folder
      } catch (error) {
        this.#incoming = undefined
        throw diskError(error, folder)
      }
    })()
    return this.#incoming
  }
}

const nameOf = (place: ArtifactPlace): string => ('run_id' in place ? `run ${place.run_id}` : 'this task')
const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1)

/** Makes the folders, and the names that lead to them, durable. */
async function makeDurable(...folders: string[]): Promise<void> {
  for (const folder of folders) {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    if (made !== undefined) syncFolder(join(folder, '..'))
  }
}

/**
 * Writes a content to a new file, durably. Returns undefined, and leaves no file, when it has more bytes than `most`.
 */
async function writePart(part: string, content: Readable, most: number): Promise<Measured | undefined> {
  const found = createHash('sha256')
  let bytes = 0
  try {
    await using target = await open(part, 'wx', 0o600)
    // The stream is not destroyed when this throws: destroying a request also destroys its answer.
    for await (const chunk of content.iterator({ destroyOnReturn: false })) {
      bytes += chunk.length
      if (bytes > most) break
      found.update(chunk)
      await target.writeFile(chunk)
    }
    await target.sync()
  } catch (error) {
    await rm(part, { force: true })
    throw broken(error) ?? diskError(error, part)
  }
  if (bytes <= most) return { bytes, sha256: found.digest('hex') }
  await rm(part, { force: true })
  return undefined
}

async function writeWhole(
  folder: string,
  file: string,
  { bytes, sha256 }: Measured,
  content: Readable,
): Promise<void> {
  const part = join(folder, `.${randomUUID()}`)
  const written = await writePart(part, content, bytes)
  try {
    if (written?.bytes !== bytes || written.sha256 !== sha256)
      throw new ErrandError(
        'bad_request',
        `The received content does not match: expected ${bytes} bytes with the SHA-256 ${sha256}.`,
        {
          hint: 'Send it again.',
        },
      )
    await rename(part, file)
    syncFolder(folder)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

async function usageOf(folder: string): Promise<{ bytes: number; count: number }> {
  const usage = { bytes: 0, count: 0 }
  for (const name of await namesIn(folder)) {
    // The receiver counts incoming files.
    if (name.startsWith('.')) continue
    usage.bytes += (await sizeOf(join(folder, name))) ?? 0
    usage.count++
  }
  return usage
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (isMissing(error)) return undefined
    throw diskError(error, file)
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw diskError(error, folder)
  }
}

async function* none(): AsyncGenerator<Buffer> {}

function broken(cause: unknown): ErrandError | undefined {
  const { code } = cause as NodeJS.ErrnoException
  if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ECONNRESET') return undefined
  return new ErrandError('bad_request', 'The transfer of the artifact was interrupted.', {
    hint: 'Send it again.',
    cause,
  })
}

const tooLarge = (most: number) =>
  new ErrandError('body_too_large', `An artifact may have at most ${most} bytes.`, {
    hint: 'Store a smaller part of it, or compress it.',
  })

const full = (why: string) =>
  new ErrandError('quota_exceeded', why, {
    hint: 'Store less in it, or delete runs that have ended: errand runs delete ID',
  })
