import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import { newPathOf } from '../../../contract/routes/renamed.ts'
import type { Log } from '../../../platform/log.ts'
import type { ApiApp } from '../api-context.ts'

const TOO_LARGE = 'FST_ERR_CTP_BODY_TOO_LARGE'
/** Bytes of a refused body that are still read, so that its sender gets to read the answer. */
const READ_AWAY_BYTES = 256 * 1024 * 1024
/** Smaller limit for senders without a token. */
const READ_AWAY_OF_STRANGERS_BYTES = 8 * 1024 * 1024
const READ_AWAY_MS = 30_000

/** Sends every error in one shape, whatever threw it. */
export function answerErrors(
  app: ApiApp,
  options: {
    log: Log
    /** Answers a request for a path with no route in its own way, or returns undefined if it does not. */
    nothingAt?(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined>
  },
): void {
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const isUnread = error.code === TOO_LARGE || request.routeOptions.config.route?.archive
    if (!isUnread || request.raw.complete) return sendError(error, request, reply, options)
    reply.header('connection', 'close')
    await answerUnread(request, reply, errorText(error, request, reply, options))
  })
  const answerNothing = async (request: FastifyRequest, reply: FastifyReply) => {
    const answered = await options.nothingAt?.(request, reply)
    if (answered !== undefined) return answered
    const path = request.url.split('?', 1)[0]!
    const methods = app.methodsOf(path)
    if (methods.length === 0) {
      const now = newPathOf(path)
      throw new ErrandError('not_found', `Nothing found at ${path}.`, {
        hint: now === undefined ? 'See /docs for the list of routes.' : `Use ${now} instead.`,
      })
    }
    throw new ErrandError('method_not_allowed', `${path} does not support ${request.method}.`, {
      hint: `Use ${methods.join(', ')}.`,
      details: { allow: methods },
    })
  }
  app.setNotFoundHandler(answerNothing)
  // Answered before the body is read, because no route wants it.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return await answerNothing(request, reply)
  })
}

export function sendError(...of: Parameters<typeof errorText>): FastifyReply {
  return of[2].send(errorText(...of))
}

/** Sets status and headers, and returns the body of the answer. */
function errorText(
  error: FastifyError | ErrandError,
  request: FastifyRequest,
  reply: FastifyReply,
  options: { log: Log },
): string {
  const known = error instanceof ErrandError ? error : translate(error, request.routeOptions.bodyLimit)
  // A failed run is no failure of the hub.
  if (known === undefined || (known.status >= 500 && known.code !== 'run_failed')) {
    const where = `${request.method} ${request.routeOptions.url ?? 'unknown route'}`
    options.log(`request ${request.id}: ${where} failed: ${traceOf(error)}`, {
      level: 'error',
      request_id: request.id,
    })
  }
  const reported =
    known ??
    new ErrandError('internal', 'The hub failed to process this request.', {
      hint: `See the hub's log for request ${request.id}.`,
      details: { request_id: request.id },
    })
  if (reported.status === 401) reply.header('www-authenticate', 'Bearer')
  const details = reported.details as { retry_after_seconds?: number; allow?: string[] } | undefined
  if (reported.code === 'rate_limited' || reported.code === 'no_slot')
    reply.header('retry-after', String(details?.retry_after_seconds ?? 5))
  if (reported.code === 'method_not_allowed') reply.header('allow', details?.allow?.join(', ') ?? '')
  reply.code(reported.status).type('application/json; charset=utf-8')
  return JSON.stringify(reported.toBody())
}

/** Answers data that is not valid HTTP. */
export function answerBrokenRequest(error: Pick<NodeJS.ErrnoException, 'code'>, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const reported = new ErrandError(
    'bad_request',
    late ? 'The request did not arrive in time.' : `The request is not valid HTTP (${error.code}).`,
  )
  const body = JSON.stringify(reported.toBody())
  socket.end(
    `HTTP/1.1 ${late ? '408 Request Timeout' : '400 Bad Request'}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/**
 * Answers while the body is still arriving. Closing a connection with unread bytes resets it, and the answer may be
 * lost. So the hub first reads and drops the rest, within limits.
 */
async function answerUnread(
  { raw: request, routeOptions }: FastifyRequest,
  reply: FastifyReply,
  text: string,
): Promise<void> {
  const { raw: response } = reply.hijack()
  response.on('error', () => response.destroy())
  response.writeHead(reply.statusCode, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-length': Buffer.byteLength(text),
  })
  response.write(text)
  const isStranger = routeOptions.config.route?.who === 'anyone'
  await readAway(request, isStranger ? READ_AWAY_OF_STRANGERS_BYTES : READ_AWAY_BYTES)
  response.end()
}

function readAway(request: IncomingMessage, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let left = bytes
    const onData = (chunk: Buffer): void => {
      left -= chunk.length
      if (left < 0) done()
    }
    const done = (): void => {
      clearTimeout(late)
      request.off('data', onData).off('end', done).off('close', done)
      request.pause()
      resolve()
    }
    const late = setTimeout(done, READ_AWAY_MS)
    if (request.complete || request.destroyed) return done()
    request.on('data', onData).on('end', done).on('close', done).resume()
  })
}

function translate(error: FastifyError, bodyBytes: number | undefined): ErrandError | undefined {
  if (error.code === TOO_LARGE)
    return new ErrandError('body_too_large', `The body is larger than the limit of ${bodyBytes} bytes.`, {
      hint: 'Split it, or keep large files on the machine that runs the step.',
      details: { limit_bytes: bodyBytes },
    })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new ErrandError('unsupported_media_type', 'This route does not accept this content type.', {
      hint: 'Send application/json. You may also send a workflow as application/yaml.',
    })
  const status = error.statusCode ?? 500
  if (status < 400 || status > 499) return undefined
  return new ErrandError('bad_request', error.message, { cause: error })
}

/** Returns the stack of an error with its causes. The text of the request is not in it. */
function traceOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${error.cause.stack ?? error.cause.message}` : ''
  return (error.stack ?? error.message) + cause
}
