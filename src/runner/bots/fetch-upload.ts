import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MAX_UPLOAD_BYTES } from '../../contract/bots/bot-api.ts'
import { ErrandError, isErrandError } from '../../contract/errors.ts'
import type { HubRequests } from '../link/hub-requests.ts'
import type { Asking } from '../link/hub-retry.ts'
import type { MakeData } from './bot-data.ts'

/**
 * Downloads an upload from the hub into a file, with as many tries as needed. The result has exactly the hash in its
 * name, or nothing is written. Throws `HubAway` if the hub stays away.
 */
export async function fetchUpload(
  hub: HubRequests,
  sha256: string,
  file: string,
  asking: Asking,
): Promise<void> {
  await hub.retry.whileAway(() => fetchOnce(hub, sha256, file, asking.signal), asking)
}

async function fetchOnce(hub: HubRequests, sha256: string, file: string, signal: AbortSignal): Promise<void> {
  const what = `The upload ${sha256} could not be fetched from the hub`
  const failed = (why: string): ErrandError => new ErrandError('internal', `${what}: ${why}.`)
  const content = await hub.body(`uploads/${sha256}`, what, signal).catch((error: unknown) => {
    if (!isErrandError(error) || error.code !== 'not_found') throw error
    throw new ErrandError('source_refused', `The hub has no upload ${sha256}.`, {
      hint: 'Upload the archive again. The hub deletes uploads that no bot needs.',
    })
  })
  const hash = createHash('sha256')
  let bytes = 0
  const measured = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length
      hash.update(chunk)
      done(bytes > MAX_UPLOAD_BYTES ? failed(`it is larger than ${MAX_UPLOAD_BYTES} bytes`) : null, chunk)
    },
  })
  await pipeline(content, measured, createWriteStream(file, { mode: 0o600 }), { signal }).catch((error) => {
    signal.throwIfAborted()
    throw isErrandError(error) ? error : failed(error.message)
  })
  const found = hash.digest('hex')
  if (found !== sha256) throw failed(`the SHA-256 of the received data is ${found}`)
}

/**
 * Sends what the hub has requested; each try makes it again. The request ends with the link, and so does the signal: a
 * hub that comes back asks again. Throws `HubAway`, and `unavailable` if nobody waits for it any more.
 */
export async function sendData(
  hub: HubRequests,
  askId: string,
  make: MakeData,
  signal: AbortSignal,
): Promise<void> {
  await hub.retry.whileAway(() => sendOnce(hub, askId, make, signal), { signal })
}

async function sendOnce(hub: HubRequests, askId: string, make: MakeData, signal: AbortSignal): Promise<void> {
  const data = Readable.from(await make())
  const request = {
    method: 'PUT',
    headers: { 'content-type': 'application/x-tar' },
    body: Readable.toWeb(data),
    duplex: 'half',
  }
  try {
    await hub.send(
      `runner-answers/${askId}`,
      request as never,
      'The data could not be sent to the hub',
      signal,
    )
  } catch (error) {
    const own = data.errored
    if (isErrandError(own)) throw own
    if (!isErrandError(error) || error.code !== 'not_found') throw error
    throw new ErrandError('unavailable', error.message)
  }
}
