import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Attachment } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Asking, HubRetry } from '../link/hub-retry.ts'

/** Provides the files that go with the prompts of a run. */
export interface AttachmentSource {
  /** Returns an attachment. Throws `not_found`, and `HubAway`, also if the stream breaks off. */
  attachment(runId: string, id: string, signal: AbortSignal): Promise<Readable>
  readonly retry: HubRetry
}

export interface PromptAttachmentsOptions {
  /** Folder of the attempt: fetched files stay as long as it does, so that the session can be replayed. */
  folder: string
  runId: string
  /** Source of attachments; absent: this machine has no hub to fetch from. */
  source: AttachmentSource | undefined
  asking: Asking
}

/** Manages the files and images that go with the prompts of a session, in files named by their SHA-256. */
export class PromptAttachments {
  readonly #options: PromptAttachmentsOptions

  constructor(options: PromptAttachmentsOptions) {
    this.#options = options
  }

  /**
   * Fetches the missing ones, and retries while the hub is away. When it resolves, they are durable. Returns false if
   * the signal came before. Throws `not_found`, `output_damaged`, `invalid_argument`, `disk_full`, `HubAway`.
   */
  async fetchAll(attachments: readonly Attachment[]): Promise<boolean> {
    const { source, asking } = this.#options
    for (const attachment of attachments)
      try {
        if (this.#has(attachment)) continue
        if (source === undefined)
          throw new ErrandError(
            'invalid_argument',
            `"${attachment.name}" cannot be fetched: only a hub stores attachments.`,
            {
              hint: 'Run the agent on a hub (errand agent --hub --attach FILE), or name the file in the prompt.',
            },
          )
        await source.retry.whileAway(() => this.#fetch(source, attachment), asking)
      } catch (error) {
        if (asking.signal.aborted) return false
        throw worded(error, attachment)
      }
    return true
  }

  /** Returns a fetched one, with its bytes. */
  read(attachment: Attachment): Attachment & { content: Buffer } {
    return { ...attachment, content: readFileSync(this.#path(attachment)) }
  }

  #path({ sha256 }: Attachment): string {
    return join(this.#options.folder, 'attachments', sha256)
  }

  #has(attachment: Attachment): boolean {
    return statSync(this.#path(attachment), { throwIfNoEntry: false })?.size === attachment.bytes
  }

  async #fetch(source: AttachmentSource, attachment: Attachment): Promise<void> {
    const { folder, runId, asking } = this.#options
    const { id, name, bytes, sha256 } = attachment
    const pieces: Buffer[] = []
    let length = 0
    for await (const piece of (await source.attachment(runId, id, asking.signal)) as AsyncIterable<Buffer>) {
      length += piece.length
      if (length > bytes) break
      pieces.push(piece)
    }
    const content = Buffer.concat(pieces)
    if (length !== bytes || createHash('sha256').update(content).digest('hex') !== sha256)
      throw new ErrandError(
        'output_damaged',
        `The received content of "${name}" differs from what was attached.`,
        {
          hint: 'Attach it again, and check the disk of the hub.',
        },
      )
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
