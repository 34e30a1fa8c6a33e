import type { IncomingMessage } from 'node:http'
import { ErrandError } from '../../contract/errors.ts'

/** The JSON body of a request. Throws `body_too_large`, `bad_request`. An empty body is `{}`. */
export async function jsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= maxBytes) chunks.push(chunk)
    // What is over the limit is read to its end, or the client would see a broken connection and not the
    // answer; but not without a bound.
    else if (length > maxBytes * 8) break
  }
  if (length > maxBytes)
    throw new ErrandError('body_too_large', `The body is larger than ${maxBytes} bytes.`, {
      hint: 'Put large data into a file or fetch it from within the step.',
    })
  if (length === 0) return {}
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new ErrandError('bad_request', `The body is no JSON: ${(cause as Error).message}.`, {
      hint: 'Send one JSON object.',
      cause,
    })
  }
}
