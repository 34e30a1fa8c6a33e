import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Attachment } from '../../contract/agent.ts'
import { ErrandError, isErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { Backoff } from '../../platform/time.ts'

/** Takes an attachment of a run from the hub. Throws `not_found`, `unavailable`. */
export type FetchAttachment = (runId: string, id: string, signal: AbortSignal) => Promise<Readable>

export interface PromptAttachmentsOptions {
  /** Folder of the attempt: what is fetched stays as long as that, so that the session can be replayed. */
  folder: string
  runId: string
  /** Absent: this machine has no hub to fetch from. */
  fetch: FetchAttachment | undefined
  /** Ends the tries. */
  signal: AbortSignal
}

/** The files and images that go with the prompts of a session, in files named by their SHA-256. */
export class PromptAttachments {
  readonly #options: PromptAttachmentsOptions

  constructor(options: PromptAttachmentsOptions) {
    this.#options = options
  }

  /**
   * Fetches those that are not here yet; a hub that is away is asked again. When it resolves they are durable. False: the signal
   * came before. Throws `not_found`, `output_damaged`, `invalid_argument`, `disk_full`.
   */
  async bring(attachments: readonly Attachment[]): Promise<boolean> {
    const { signal } = this.#options
    for (const attachment of attachments) {
      const backoff = new Backoff({ firstMs: 500, maxMs: 30_000 })
      while (!this.#has(attachment)) {
        try {
          if (signal.aborted) return false
          await this.#fetch(attachment)
        } catch (error) {
          if (signal.aborted) return false
          if (!isErrandError(error) || error.code !== 'unavailable') throw worded(error, attachment)
          await sleep(backoff.next(), undefined, { signal }).catch(() => {})
        }
      }
    }
    return true
  }

  /** One that was brought, with its bytes. */
  read(attachment: Attachment): Attachment & { content: Buffer } {
    return { ...attachment, content: readFileSync(this.#path(attachment)) }
  }

  #path({ sha256 }: Attachment): string {
    return join(this.#options.folder, 'attachments', sha256)
  }

  #has(attachment: Attachment): boolean {
    return statSync(this.#path(attachment), { throwIfNoEntry: false })?.size === attachment.bytes
  }

  async #fetch(attachment: Attachment): Promise<void> {
    const { fetch, folder, runId, signal } = this.#options
    const { id, name, bytes, sha256 } = attachment
    if (fetch === undefined)
      throw new ErrandError(
        'invalid_argument',
        `"${name}" cannot be fetched: attachments are kept by a hub.`,
        {
          hint: 'Ask on a hub (errand agent --hub --attach FILE), or name the file in the prompt.',
        },
      )
    const pieces: Buffer[] = []
    let length = 0
    try {
      for await (const piece of (await fetch(runId, id, signal)) as AsyncIterable<Buffer>) {
        length += piece.length
        if (length > bytes) break
        pieces.push(piece)
      }
    } catch (error) {
      if (isErrandError(error)) throw error
      throw new ErrandError('unavailable', `"${name}" broke off: ${(error as Error).message}.`, {
        cause: error,
      })
    }
    const content = Buffer.concat(pieces)
    if (length !== bytes || createHash('sha256').update(content).digest('hex') !== sha256)
      throw new ErrandError('output_damaged', `What came of "${name}" is not what was attached.`, {
        hint: 'Attach it again; look at the disk of the hub.',
      })
    mkdirSync(join(folder, 'attachments'), { recursive: true, mode: 0o700 })
    writeFileAtomic(this.#path(attachment), content, { mode: 0o600, durable: true })
  }
}

function worded(error: unknown, { name }: Attachment): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ErrandError('disk_full', `No space is left on the runner for "${name}".`)
  return error
}
