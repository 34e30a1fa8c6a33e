import type { FastifyReply, FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ApiContext } from '../api-context.ts'
import { bearer } from './access.ts'
import type { PacedResponse } from './paced-response.ts'
import { cookieToken } from './session-cookie.ts'

/** Describes a stream for the log and the reader. */
interface Streamed {
  what: 'events' | 'log'
  /** Absent if the stream covers many runs. */
  runId?: string
  /** Tells a reader that was too slow how to continue. */
  goOn: string
  /** Rejects if the user may no longer see the stream. */
  allow(identity: Identity): Promise<unknown>
}

/**
 * Sends what `send` writes as Server-Sent Events, with keep-alives. The stream ends with an error event if the reader
 * takes nothing, if its user may no longer see it, or if `send` throws.
 */
export async function sendEventStream(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { what, runId, goOn, allow }: Streamed,
  send: (paced: PacedResponse) => Promise<void>,
): Promise<void> {
  const { limits, log, auth } = context
  const token = bearer(request) ?? cookieToken(request)
  const tooSlow = new ErrandError(
    'unavailable',
    `The reader read nothing for ${limits.slowReaderMs / 1000} s.`,
    {
      hint: goOn,
    },
  )
  const paced = openStream(context, request, reply, 'text/event-stream; charset=utf-8', errorEvent(tooSlow))
  const keepAlive = setInterval(() => {
    if (!paced.waiting) void paced.write(': keep-alive\n\n')
    auth
      .authenticate(token)
      .then(allow)
      .catch((error) => {
        if (error instanceof ErrandError && error.status < 500) paced.finish(errorEvent(error))
      })
  }, limits.keepAliveMs)
  try {
    await send(paced)
  } catch (error) {
    if (paced.gone.aborted) return
    log(`sending the ${what} of ${runId ?? 'runs'} failed: ${(error as Error).stack}`, {
      level: 'error',
      run_id: runId,
    })
    paced.finish(
      errorEvent(new ErrandError('unavailable', `The ${what} could not be read.`, { hint: 'Try again.' })),
    )
  } finally {
    clearInterval(keepAlive)
  }
}

/** Opens a stream. Throws `rate_limited` if the user has too many already. */
export function openStream(
  { streams }: ApiContext,
  { identity }: FastifyRequest,
  reply: FastifyReply,
  contentType: string,
  slowWords?: string,
): PacedResponse {
  streams.admit(identity.user.id)
  reply.hijack()
  reply.raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': contentType,
    'cache-control': 'no-store',
    // Otherwise nginx would hold events back.
    'x-accel-buffering': 'no',
  })
  reply.raw.flushHeaders()
  return streams.open(reply.raw, identity.user.id, slowWords)
}

const errorEvent = (error: ErrandError): string => `event: error\ndata: ${JSON.stringify(error.toBody())}\n\n`
