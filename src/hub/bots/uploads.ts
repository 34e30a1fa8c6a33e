import { createHash, hash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { botOf } from '../../blueprints/bot.ts'
import { MAX_UPLOAD_BYTES, type StartBot, type Upload } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import { diskError, isMissing } from '../../stores/disk-errors.ts'
import { allRuns } from '../ops/retention.ts'

export interface UploadsOptions {
  dir: string
  /** Limits the bytes of all uploads of a tenant. Default: 2 GiB. */
  maxTenantBytes?: number
  log: Log
}

const MAX_TENANT_BYTES = 2 * 1024 ** 3
const SWEEP_MS = 3_600_000
/** Milliseconds that an upload without a bot stays: its bot may be about to start. */
const UNUSED_MS = 3_600_000

/** Stores archives with the code of bots, in files named by their SHA-256, with one folder per tenant. */
export class Uploads {
  readonly #options: UploadsOptions
  #timer: NodeJS.Timeout | undefined

  constructor(options: UploadsOptions) {
    this.#options = options
  }

  /**
   * Stores the bytes; equal bytes are stored once. Throws `body_too_large`, `quota_exceeded` or `disk_full`, and then
   * leaves the rest of them unread.
   */
  async put(tenant: string, bytes: Readable): Promise<Upload> {
    const { maxTenantBytes = MAX_TENANT_BYTES } = this.#options
    const folder = this.#folder(tenant)
    const part = join(folder, `.${randomUUID()}`)
    const room = maxTenantBytes - (await this.#used(tenant))
    const sha256 = createHash('sha256')
    let length = 0
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await using file = await open(part, 'wx', 0o600)
      // Not destroyed if this throws: a destroyed request takes its answer with it.
      for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
        length += chunk.length
        if (length > MAX_UPLOAD_BYTES) throw tooLarge()
        if (length > room) throw full(maxTenantBytes)
        sha256.update(chunk)
        await file.writeFile(chunk)
      }
      await file.sync()
      if (length === 0)
        throw new ErrandError('bad_request', 'The upload is empty.', {
          hint: 'Send a zip, a tar or a tar.gz as the body.',
        })
      const upload = sha256.digest('hex')
      await rename(part, join(folder, upload))
      return { upload, bytes: length }
    } catch (error) {
      await rm(part, { force: true })
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET')
        throw new ErrandError('bad_request', 'The upload was interrupted.', {
          hint: 'Send it again.',
          cause: error,
        })
      throw diskError(error, folder)
    }
  }

  /** Same as `put`, for an archive in base64. Throws `invalid_argument`. */
  async putText(tenant: string, base64: string): Promise<Upload> {
    const text = base64.replace(/\s+/g, '')
    if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text))
      throw new ErrandError('invalid_argument', '"archive" is not base64.', {
        hint: 'Send the zip or tar.gz in base64, or upload it with: PUT /api/uploads',
      })
    return await this.put(tenant, Readable.from([Buffer.from(text, 'base64')]))
  }

  /** Extends the life of an upload that is about to be used. Throws `not_found`. */
  async use(tenant: string, upload: string): Promise<void> {
    const now = new Date()
    try {
      await utimes(this.pathOf(tenant, upload), now, now)
    } catch (error) {
      throw isMissing(error) ? notFound(upload) : diskError(error, this.#folder(tenant))
    }
  }

  /** Opens an upload. Throws `not_found`. */
  async open(tenant: string, upload: string): Promise<{ bytes: number; stream: Readable }> {
    const path = this.pathOf(tenant, upload)
    try {
      const { size } = await stat(path)
      return { bytes: size, stream: createReadStream(path) }
    } catch (error) {
      throw isMissing(error) ? notFound(upload) : diskError(error, path)
    }
  }

  pathOf(tenant: string, upload: string): string {
    return join(this.#folder(tenant), upload)
  }

  /** Removes uploads that are not in use and are an hour old; now and then every hour. */
  keepOnly(inUse: () => Promise<ReadonlySet<string>>): void {
    const sweep = () =>
      void this.sweep(inUse, Date.now()).catch((error: Error) =>
        this.#options.log(`Old uploads could not be removed: ${error.message}`, { level: 'warn' }),
      )
    this.close()
    this.#timer = setInterval(sweep, SWEEP_MS).unref()
    sweep()
  }

  /** Returns how many were removed. */
  async sweep(inUse: () => Promise<ReadonlySet<string>>, nowMs: number): Promise<number> {
    const paths = await filesBelow(this.#options.dir)
    if (paths.length === 0) return 0
    const used = await inUse()
    let removed = 0
    for (const path of paths) {
      if (used.has(path)) continue
      const found = await stat(path).catch(() => undefined)
      if (found === undefined || nowMs - found.mtimeMs < UNUSED_MS) continue
      await rm(path, { force: true })
      removed++
    }
    return removed
  }

  /** Stops the hourly removal; may be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  async #used(tenant: string): Promise<number> {
    let bytes = 0
    for (const path of await filesBelow(this.#folder(tenant)))
      bytes += (await stat(path).catch(() => ({ size: 0 }))).size
    return bytes
  }

  /** Returns the folder of a tenant, whose name may not be valid as a file name. */
  #folder(tenant: string): string {
    return join(this.#options.dir, hash('sha256', tenant).slice(0, 32))
  }
}

async function filesBelow(dir: string): Promise<string[]> {
  try {
    const entries = await readdir(dir, { recursive: true, withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  } catch (error) {
    if (isMissing(error)) return []
    throw diskError(error, dir)
  }
}

const notFound = (upload: string) =>
  new ErrandError('not_found', `Upload "${upload}" not found.`, {
    hint: 'Send the archive with: PUT /api/uploads. An upload that no bot uses is kept for an hour.',
  })

const tooLarge = () =>
  new ErrandError('body_too_large', `An upload may have at most ${MAX_UPLOAD_BYTES} bytes (50 MB).`, {
    hint: 'Leave out files that the build does not need, such as data and installed dependencies.',
  })

const full = (most: number) =>
  new ErrandError('quota_exceeded', `The uploads of this tenant may have at most ${most} bytes.`, {
    hint: 'Uploads that no bot uses are removed within two hours. To free others, delete ended runs of bots.',
  })

/** Turns an archive in the request into an upload. An upload that is named must exist. */
export async function uploaded<T extends Pick<StartBot, 'archive' | 'upload' | 'git_url'>>(
  tenant: string,
  { archive, ...request }: T,
  uploads: Uploads,
): Promise<Omit<T, 'archive'>> {
  if (archive !== undefined) {
    if (request.upload !== undefined || request.git_url !== undefined)
      throw new ErrandError('invalid_argument', 'The bot has several archives.', {
        hint: 'Give one of "archive", "upload" and "git_url".',
      })
    return { ...request, upload: (await uploads.putText(tenant, archive)).upload }
  }
  if (request.upload !== undefined) await uploads.use(tenant, request.upload)
  return request
}

/** Returns the paths of the uploads that runs of bots use. */
export async function uploadsInUse(engine: EngineFace, uploads: Uploads): Promise<Set<string>> {
  const used = new Set<string>()
  for await (const { tenant, workflow } of allRuns(engine, { blueprint: 'bot' })) {
    const { source } = botOf(workflow).args
    if (source.mode === 'archive') used.add(uploads.pathOf(tenant, source.upload))
  }
  return used
}
