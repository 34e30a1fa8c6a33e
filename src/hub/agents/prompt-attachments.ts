import type { AgentRunArgs } from '../../contract/actions.ts'
import { type Attachment, MAX_ATTACHMENT_BYTES, MAX_PROMPT_ATTACHED_BYTES } from '../../contract/agent.ts'
import { attachmentKind } from '../../contract/attachment-kind.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { StoredArtifacts } from '../artifacts/stored-artifacts.ts'

/** The first bytes of image files, by media type. */
const beginnings: Readonly<Record<string, RegExp>> = {
  'image/png': /^\x89PNG\r\n\x1a\n/,
  'image/jpeg': /^\xff\xd8\xff/,
  'image/gif': /^GIF8[79]a/,
  'image/webp': /^RIFF[\s\S]{4}WEBP/,
}

/**
 * Returns the attachments that a person names for a prompt; they must be the person's own files in the artifact
 * store. Throws `not_found`, `body_too_large`, and `invalid_argument` for a false image: a model that got one accepts
 * no further prompt.
 */
export async function attachmentsOf(
  stored: Pick<StoredArtifacts, 'get' | 'open'>,
  { tenant, owner }: { tenant: string; owner: string },
  ids: readonly string[] = [],
): Promise<Attachment[]> {
  const found: Attachment[] = []
  for (const values of new Set(ids)) {
    const record = await stored.get({ tenant, owner, isAdmin: false }, values.replace(/^.*\//, ''))
    const { id, name, media_type, bytes, sha256 } = record
    if (bytes > MAX_ATTACHMENT_BYTES) throw tooLarge(`"${name}" has ${bytes} bytes`, MAX_ATTACHMENT_BYTES)
    if (attachmentKind(media_type) === 'image') {
      let begins = Buffer.alloc(0)
      if (bytes > 0)
        for await (const piece of await stored.open(record, { start: 0, end: Math.min(bytes, 16) - 1 }))
          begins = Buffer.concat([begins, piece as Buffer])
      if (beginnings[media_type.toLowerCase()]?.test(begins.toString('latin1')) !== true)
        throw new ErrandError(
          'invalid_argument',
          `"${name}" is not ${media_type}, although its media type says so.`,
          {
            hint: 'Attach a PNG, JPEG, GIF or WebP image.',
          },
        )
    }
    found.push({ id, name, media_type, bytes, sha256 })
  }
  const bytes = found.reduce((sum, each) => sum + each.bytes, 0)
  if (bytes > MAX_PROMPT_ATTACHED_BYTES)
    throw tooLarge(`The attachments have ${bytes} bytes in total`, MAX_PROMPT_ATTACHED_BYTES)
  return found
}

const tooLarge = (what: string, most: number) =>
  new ErrandError('body_too_large', `${what}; the limit is ${most} (${most / 1024 / 1024} MiB).`, {
    hint: 'Put large data where the agent can read it, and name it in the prompt.',
  })

/**
 * Returns an attachment of the run. `byOwner` means that it belongs to the prompt in the run's workflow. Throws
 * `not_found`.
 */
export async function attachmentOf(
  engine: EngineFace,
  run: RunRecord,
  id: string,
): Promise<Attachment & { byOwner: boolean }> {
  const { steps = [] } = run.workflow as Partial<Workflow>
  for (const { action, args } of steps) {
    const { attachments = [] } = action === 'agent.run' ? (args as Partial<AgentRunArgs>) : {}
    const found = attachments.find((each) => each.id === id)
    if (found) return { ...found, byOwner: true }
  }
  for await (const event of engine.watch(run.run_id, 0, undefined, { outputBytes: 0 })) {
    if (event.type === 'input.given' && event.input.type === 'prompt') {
      const found = event.input.attachments?.find((each) => each.id === id)
      if (found) return { ...found, byOwner: false }
    }
    if (event.seq >= run.last_seq) break
  }
  throw new ErrandError('not_found', `No prompt of run "${run.run_id}" has an attachment "${id}".`)
}
