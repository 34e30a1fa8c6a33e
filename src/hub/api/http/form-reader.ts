import type { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { ErrandError, messageOf } from '../../../contract/errors.ts'

/** A form with one file, named `file`. */
export interface ReadForm<Received> {
  file: Received
  /** Name that the sender gave, without folders; empty if none. */
  name: string
  media_type: string
  fields: ReadonlyMap<string, string>
}

/** Receives the file while it arrives. */
export interface FileReceiver<Received> {
  receive(content: Readable): Promise<Received>
  /** Called when the rest of the form was invalid. */
  discard(received: Received): Promise<void>
}

const MAX_FIELD_BYTES = 64 * 1024
const MAX_FIELDS = 20

/**
 * Reads a form (RFC 7578) while it arrives. The file is passed to the receiver piece by piece, wherever in the form
 * it is. Throws `bad_request` if it is no form, has no file or several, or has a field over 64 KiB; also throws what
 * the receiver throws. The rest of `body` is unread then.
 */
export async function readForm<Received>(
  body: Readable,
  contentType: string,
  { receive, discard }: FileReceiver<Received>,
): Promise<ReadForm<Received>> {
  const parser = open(contentType)
  const over = Promise.withResolvers<void>()
  const fields = new Map<string, string>()
  let found: { content: Readable; file: Promise<Received>; name: string; media_type: string } | undefined

  parser.on('field', (name, value, isNameCut, isCut) => {
    if (isNameCut || isCut || fields.size >= MAX_FIELDS)
      over.reject(noForm(`Its field "${name.slice(0, 100)}" exceeds a limit`))
    else fields.set(name, value)
  })
  parser.on('file', (field, content, name, _encoding, media_type) => {
    if (field !== 'file' || found !== undefined) {
      content.resume()
      over.reject(noForm(found === undefined ? `It has a file named "${field}"` : 'It has two files'))
      return
    }
    // The receiver reports errors, or, once it has everything, the parser.
    content.on('error', () => {})
    const file = receive(content)
    file.catch(over.reject)
    found = { content, file, name: name ?? '', media_type }
  })
  parser.once('finish', over.resolve).once('error', (error) => over.reject(noForm(messageOf(error))))
  const onClose = () => body.readableEnded || over.reject(noForm('It ended early'))
  body.once('close', onClose).once('error', onClose)
  body.pipe(parser)
  try {
    await over.promise
    if (found === undefined) throw noForm('It has no file named "file"')
    const { name, media_type } = found
    return { file: await found.file, name, media_type, fields }
  } catch (error) {
    body.unpipe(parser)
    if (found !== undefined) {
      found.content.destroy()
      await found.file.then(discard, () => undefined)
    }
    throw error
  } finally {
    body.off('close', onClose).off('error', onClose)
  }
}

function open(contentType: string): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: MAX_FIELD_BYTES, headerPairs: 100, headerSize: 16 * 1024 },
    })
  } catch (error) {
    throw noForm(messageOf(error))
  }
}

const noForm = (why: string) =>
  new ErrandError('bad_request', `The form cannot be read: ${why.replace(/\.$/, '')}.`, {
    hint: 'Send multipart/form-data with one file named "file", and the fields "type" and "metadata".',
  })
