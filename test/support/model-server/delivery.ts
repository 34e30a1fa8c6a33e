import type { ServerResponse } from 'node:http'
import type { Answer, Dialect, StreamEvent } from './answer.ts'
import type { ModelRequest } from './request.ts'
import type { Turn } from './script.ts'

const asText = ({ name, data }: StreamEvent): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`

/** Sends the answer, as a stream if the request asks for one. It is cut off or has no end if the turn says so. */
export function deliver(
  turn: Turn,
  answer: Answer,
  request: ModelRequest,
  dialect: Dialect,
  response: ServerResponse,
): void {
  if (!request.stream) {
    if (turn.hang === true) return
    response.writeHead(200, { 'content-type': 'application/json' })
    finish(response, JSON.stringify(dialect.whole(answer, request)), turn.breakAfterBytes)
    return
  }
  const { head, tail } = dialect.stream(answer, request)
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  const begun = head.map(asText).join('')
  if (turn.hang === true) response.write(begun)
  else if (turn.restAfter !== undefined) {
    response.write(begun)
    const rest = tail.map(asText).join('') + (dialect.streamEnd ?? '')
    void turn.restAfter.then(() => finish(response, rest, undefined))
  } else finish(response, begun + tail.map(asText).join('') + (dialect.streamEnd ?? ''), turn.breakAfterBytes)
}

/** Ends the answer, or cuts the connection once `breakAfterBytes` are sent. */
function finish(response: ServerResponse, body: string, breakAfterBytes: number | undefined): void {
  const bytes = Buffer.from(body)
  if (breakAfterBytes === undefined || breakAfterBytes > bytes.length) response.end(bytes)
  else response.write(bytes.subarray(0, breakAfterBytes), () => response.destroy())
}
