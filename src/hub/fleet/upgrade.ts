import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { ErrandError } from '../../contract/errors.ts'
import { MAX_FRAME_BYTES } from '../../contract/protocol.ts'
import type { Principal } from './runner-link.ts'

const LINK_PATH = '/api/runner-link'

export type Authenticate = (token: string) => Promise<Principal | { refused: string; revoked?: boolean }>

/** Whose token opened a link, and how to see whether it still would. */
export interface Opened {
  principal: Principal
  again(): ReturnType<Authenticate>
}

/** How long the other end may take to close a link. */
const CLOSE_TIMEOUT_MS = 2_000

/** Turns upgrade requests on the link's path into WebSockets, where their token is good. Answers how to stop that. */
export function acceptLinks(
  server: Server,
  authenticate: Authenticate,
  accept: (ws: WebSocket, socket: Socket, opened: Opened) => void,
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Up to twice the limit the link itself can say why it closes.
    maxPayload: 2 * MAX_FRAME_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
  } as ConstructorParameters<typeof WebSocketServer>[0])

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node has let go of it: an error that nobody hears would end this process.
    const broken = () => socket.destroy()
    socket.on('error', broken)
    if (request.url?.split('?')[0] !== LINK_PATH) {
      if (server.listenerCount('upgrade') === 1)
        refuse(socket, new ErrandError('not_found', `There is no WebSocket at ${request.url}.`))
      return
    }
    check(request, authenticate).then(
      (opened) => {
        socket.off('error', broken)
        sockets.handleUpgrade(request, socket, head, (ws) => accept(ws, socket as Socket, opened))
      },
      (error: unknown) => refuse(socket, asErrandError(error)),
    )
  }
  server.on('upgrade', upgrade)
  return () => void server.off('upgrade', upgrade)
}

async function check(request: IncomingMessage, authenticate: Authenticate): Promise<Opened> {
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const hint =
    'Enrol the machine (errand runners enroll-token, then errand runner enroll), or set ERRAND_TOKEN to a runner token.'
  if (token === undefined)
    throw new ErrandError('unauthorized', 'The runner link needs a bearer token.', { hint })
  const answer = await authenticate(token)
  if ('refused' in answer)
    throw new ErrandError(answer.revoked ? 'token_revoked' : 'unauthorized', answer.refused, { hint })
  return { principal: answer, again: () => authenticate(token) }
}

const asErrandError = (error: unknown) =>
  error instanceof ErrandError
    ? error
    : new ErrandError(
        'internal',
        `The token could not be checked: ${error instanceof Error ? error.message : error}`,
      )

function refuse(socket: Duplex, error: ErrandError): void {
  const body = JSON.stringify(error.toBody())
  const lines = [
    `HTTP/1.1 ${error.status} ${error.code}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(error.status === 401 ? ['WWW-Authenticate: Bearer'] : []),
  ]
  socket.once('finish', () => socket.destroy())
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
}
