import { readFileSync } from 'node:fs'
import { basename, extname } from 'node:path'
import type { ErrandClient } from '../../../client/client.ts'
import { MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS } from '../../../contract/actions.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { UsageError } from '../../command.ts'

const types: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.svg': 'image/svg+xml',
  '.pdf': 'application/pdf',
  '.json': 'application/json',
}

/** Stores files for a prompt on the hub and returns their ids. Throws `UsageError`, or what `contentOf` throws. */
export async function storedAttachments(
  client: Pick<ErrandClient, 'sessions'>,
  files: readonly string[] | undefined,
): Promise<string[] | undefined> {
  if (files === undefined || files.length === 0) return undefined
  if (files.length > MAX_ATTACHMENTS)
    throw new UsageError(
      `--attach is given ${files.length} times`,
      `a prompt takes at most ${MAX_ATTACHMENTS} files`,
    )
  const read = files.map((file) => ({ name: basename(file), ...contentOf(file) }))
  const ids: string[] = []
  for (const each of read) ids.push(await client.sessions.attach(each))
  return ids
}

/**
 * Reads a file with its media type. That follows from the name, and for an unknown ending from whether the bytes are
 * text. Throws `bad_request` if it cannot be read, and `body_too_large`.
 */
export function contentOf(file: string): { media_type: string; bytes: Buffer } {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    throw new ErrandError('bad_request', `${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
  if (bytes.length > MAX_ATTACHMENT_BYTES)
    throw new ErrandError(
      'body_too_large',
      `${file} has ${bytes.length} bytes; the limit is ${MAX_ATTACHMENT_BYTES}.`,
      {
        hint: 'Put it where the agent can read it and name it in the prompt.',
      },
    )
  const known = types[extname(file).toLowerCase()]
  if (known !== undefined) return { media_type: known, bytes }
  const isText = !bytes.includes(0) && Buffer.from(bytes.toString('utf8')).equals(bytes)
  return { media_type: isText ? 'text/plain' : 'application/octet-stream', bytes }
}
