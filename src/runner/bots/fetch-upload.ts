import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MAX_UPLOAD_BYTES } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'

/** Puts an upload that the hub keeps into a file. What comes is what its name says, or nothing. Throws `unavailable` where the hub is away. */
export async function fetchUpload(
  hub: { url: string; token: string },
  sha256: string,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(hubAddress(hub.url, `uploads/${sha256}`), {
    headers: { authorization: `Bearer ${hub.token}` },
    redirect: 'error',
    signal,
  }).catch((cause) => {
    signal.throwIfAborted()
    throw away(sha256, `the hub does not answer (${String(cause.cause?.message ?? cause.message)})`)
  })
  if (response.status === 404)
    throw new ErrandError('source_refused', `The hub has no upload ${sha256}.`, {
      hint: 'Upload the archive again; the hub deletes those that no bot needs.',
    })
  const { status, body } = response
  if (status >= 500) throw away(sha256, `the hub answered ${status}`)
  if (!response.ok || body === null) throw failed(sha256, `the hub answered ${status}`)
  const hash = createHash('sha256')
  let bytes = 0
  const measured = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length
      hash.update(chunk)
      done(
        bytes > MAX_UPLOAD_BYTES ? failed(sha256, `it is larger than ${MAX_UPLOAD_BYTES} bytes`) : null,
        chunk,
      )
    },
  })
  await pipeline(Readable.fromWeb(body as never), measured, createWriteStream(file, { mode: 0o600 }), {
    signal,
  }).catch((error) => {
    signal.throwIfAborted()
    if (error instanceof ErrandError) throw error
    // The file's errors have one; what the hub has broken off is told without.
    throw (error.syscall === undefined ? away : failed)(sha256, error.message)
  })
  const found = hash.digest('hex')
  if (found !== sha256) throw failed(sha256, `what came is ${found}`)
}

/** Sends what the hub has asked for. Throws `unavailable` where the hub is away, or does not want it any more. */
export async function sendData(
  hub: { url: string; token: string },
  askId: string,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const request = {
    method: 'PUT',
    headers: { authorization: `Bearer ${hub.token}`, 'content-type': 'application/x-tar' },
    body: Readable.toWeb(Readable.from(tar)),
    duplex: 'half',
    redirect: 'error',
    signal,
  }
  const response = await fetch(hubAddress(hub.url, `runner-answers/${askId}`), request as never).catch(
    (cause) => {
      signal.throwIfAborted()
      const why = String(cause.cause?.message ?? cause.message)
      throw new ErrandError('unavailable', `The data could not be sent to the hub: ${why}.`)
    },
  )
  await response.body?.cancel()
  if (!response.ok)
    throw new ErrandError(
      'unavailable',
      `The data could not be sent to the hub: it answered ${response.status}.`,
    )
}

/** A path that the hub stands under is kept. */
function hubAddress(hubUrl: string, path: string): URL {
  const url = new URL(hubUrl)
  url.protocol = url.protocol.replace(/^ws/, 'http')
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/${path}`
  return url
}

const away = (sha256: string, why: string): ErrandError =>
  new ErrandError('unavailable', notFetched(sha256, why))

const failed = (sha256: string, why: string): ErrandError =>
  new ErrandError('internal', notFetched(sha256, why))

const notFetched = (sha256: string, why: string): string =>
  `The upload ${sha256} could not be fetched from the hub: ${why}.`
