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

/** The most that is kept. */
export interface ArtifactLimits {
  /** Of one artifact (default 100 MiB). */
  bytes?: number
  /** Of one run (default 1 GiB, 1,000 contents). */
  perRunBytes?: number
  perRunCount?: number
  /** Of all runs of a user. Default: no limit. */
  perUserBytes?: number
}

/** Whose artifacts, and of which run; or, where no run has kept them, `stored`: what they are gathered by, 32 hex digits. */
export type ArtifactPlace = { tenant: string; owner: string } & ({ run_id: string } | { stored: string })

/** Bytes that are to be kept, as who sends them has measured them. */
export interface Measured {
  bytes: number
  /** In hex. */
  sha256: string
}

/** A content that has come, and is in no place yet: one of the two is called. */
export interface Received extends Measured {
  /** As `put`, from where it is now. */
  keep(place: ArtifactPlace): Promise<void>
  discard(): Promise<void>
}

const SHA256 = /^[0-9a-f]{64}$/
/** Names of the folders of users, and of what is stored. */
const HEX_NAME = /^[0-9a-f]{32}$/
/** Contents that have not come whole, or have no place yet; no name of a user's folder. */
const INCOMING = '.incoming'
/** Begins the names of folders of what no run has kept; no run id begins so. */
const STORED = '+'
/** Bytes that nobody has told of by then are nobody's: their sender gives up after this. */
const ORPHAN_MS = 24 * 3_600_000
/** An orphan is found within this, or goes with its run: older files are not looked at each day. */
const LOOKED_AT_MS = 8 * 24 * 3_600_000
/** Contents that were found to be what their names say are not read again for each reader. */
const KNOWN_GOOD = 1_000

/**
 * The contents of artifacts, in files named by their SHA-256: `<dir>/<user>/<run id>/<sha256>`. Which artifact has which
 * content, the logs of the runs tell; a log tells of it only after `put` has resolved.
 */
export class ArtifactStore {
  readonly #dir: string
  readonly #limits: Required<ArtifactLimits>
  /** Bytes on their way, by user and by run. */
  readonly #coming = new Map<string, number>()
  readonly #good = new Set<string>()
  #incoming: Promise<string> | undefined

  /** The folder is made with the first artifact. */
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
   * Keeps a content: when it resolves it is on the disk, even if the power fails. The same again is the same, and mends what
   * was damaged. Throws `body_too_large`, `quota_exceeded`, `bad_request` where what comes is not as measured, `disk_full`;
   * then nothing of it is left, and the rest of `content` is unread.
   */
  async put(place: ArtifactPlace, measured: Measured, content: Readable): Promise<void> {
    const { bytes, sha256 } = measured
    if (!SHA256.test(sha256)) throw new ErrandError('bad_request', `"${sha256}" is no SHA-256 in hex.`)
    if (bytes > this.#limits.bytes) throw tooLarge(this.#limits.bytes)
    await this.#keep(place, measured, (folder, file) => writeWhole(folder, file, measured, content))
  }

  /**
   * Takes a content whose length and sum are known only when it has come: it is kept once a place for it is named. Throws as
   * `put`; then nothing of it is left, and the rest of `content` is unread.
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
   * Opens a content from `start` (inclusive) to `end` (exclusive). Throws `not_found` where it is not there, and
   * `output_damaged` where it is not any more what its name says.
   */
  async open(
    place: ArtifactPlace,
    { bytes, sha256 }: Measured,
    { start = 0, end = bytes }: { start?: number; end?: number } = {},
  ): Promise<AsyncIterable<Buffer>> {
    const file = join(this.#folder(place), SHA256.test(sha256) ? sha256 : 'none')
    const size = await sizeOf(file)
    if (size === undefined)
      throw new ErrandError('not_found', `The bytes of ${sha256} of ${nameOf(place)} are gone.`, {
        hint: 'A backup may have them.',
      })
    if (size !== bytes || !(await this.#isGood(file, sha256)))
      throw new ErrandError(
        'output_damaged',
        `An artifact of ${nameOf(place)} is damaged: its ${size} bytes are not those with the SHA-256 ${sha256}.`,
        { hint: 'Look at the disk of the hub. A backup may have the whole.' },
      )
    return start >= end ? none() : createReadStream(file, { start, end: end - 1 })
  }

  /** Takes away all that a run has. Unknown ones change nothing. */
  async remove(runId: string): Promise<void> {
    if (!RunId.safeParse(runId).success) return
    for (const user of await this.#users()) {
      const folder = join(this.#dir, user, runId)
      await rm(folder, { recursive: true, force: true }).catch((error) => {
        throw diskError(error, folder)
      })
    }
  }

  /** Takes a content away. What is not there changes nothing. */
  async drop(place: ArtifactPlace, sha256: string): Promise<void> {
    if (!SHA256.test(sha256)) return
    const file = join(this.#folder(place), sha256)
    await rm(file, { force: true }).catch((error) => {
      throw diskError(error, file)
    })
  }

  /**
   * Removes contents that came a day ago or longer and that nothing tells of. `told`: the SHA-256 of those that the log of a run
   * does, undefined where there is no such run; with `of: 'stored'` of those that are gathered by that. Answers how many were removed.
   */
  async sweep(
    told: (gatheredBy: string) => Promise<ReadonlySet<string> | undefined>,
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
          if (ageMs >= ORPHAN_MS && ageMs < LOOKED_AT_MS) old.push(name)
        }
        if (old.length === 0) continue
        const kept = await told(runId)
        for (const name of old) {
          if (kept?.has(name)) continue
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
      throw full(`${capital(nameOf(place))} has ${run.count} artifacts, the most that are kept of one.`)
    if (run.bytes + this.#coming.get(folder)! > perRunBytes)
      throw full(`${capital(nameOf(place))} keeps more than ${perRunBytes} bytes (ERRAND_MAX_ARTIFACTS_RUN).`)
    if (perUserBytes === Number.POSITIVE_INFINITY) return
    let bytes = this.#coming.get(user)!
    for (const name of await namesIn(user)) bytes += (await usageOf(join(user, name))).bytes
    if (bytes > perUserBytes)
      throw full(
        `The runs of ${place.owner} keep more than ${perUserBytes} bytes (ERRAND_MAX_ARTIFACTS_USER).`,
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

  /** A tenant's and a user's name are no file names. */
  #userFolder({ tenant, owner }: ArtifactPlace): string {
    return join(this.#dir, hash('sha256', JSON.stringify([tenant, owner])).slice(0, 32))
  }

  #folder(place: ArtifactPlace): string {
    if ('run_id' in place) return join(this.#userFolder(place), RunId.parse(place.run_id))
    if (!HEX_NAME.test(place.stored)) throw new Error(`"${place.stored}" is no name of a folder`)
    return join(this.#userFolder(place), `${STORED}${place.stored}`)
  }

  /** Made anew by the first that asks: what an earlier process has left there is nobody's. */
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

const nameOf = (place: ArtifactPlace): string =>
  'run_id' in place ? `run ${place.run_id}` : 'what is stored for this task'
const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1)

/** Makes the folders, and the names that lead to them, last. */
async function makeDurable(...folders: string[]): Promise<void> {
  for (const folder of folders) {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    if (made !== undefined) syncFolder(join(folder, '..'))
  }
}

/** Writes it to a new file, durably. Undefined, and no file: it has more bytes than `most`. */
async function writePart(part: string, content: Readable, most: number): Promise<Measured | undefined> {
  const found = createHash('sha256')
  let bytes = 0
  try {
    await using target = await open(part, 'wx', 0o600)
    // Left as it is where this throws: a request that is destroyed takes its answer with it.
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
        `What came is not the ${bytes} bytes with the SHA-256 ${sha256}.`,
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
    // What is on its way is counted by who receives it.
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
  return new ErrandError('bad_request', 'The artifact broke off.', { hint: 'Send it again.', cause })
}

const tooLarge = (most: number) =>
  new ErrandError('body_too_large', `An artifact has ${most} bytes at most.`, {
    hint: 'Keep less of it, or pack it.',
  })

const full = (why: string) =>
  new ErrandError('quota_exceeded', why, {
    hint: 'Keep less with it, or delete runs that have ended: errand runs delete ID',
  })
