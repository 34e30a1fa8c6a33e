import type { FastifyReply, FastifyRequest } from 'fastify'
import { ErrandError } from '../../contract/errors.ts'
import { type BuiltPage, PAGE_POLICY } from '../page/built-page.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './http/routes.ts'

/** Serves the dashboard. A hub without one redirects to the documentation. */
export function pageHandlers({ page }: ApiContext) {
  return {
    'GET /': async (request, reply) =>
      (await sendPage(page, request, reply)) ?? (reply as FastifyReply).redirect('/docs'),

    'GET /assets/:name': async ({ params: { name }, headers }, reply) => {
      const file = await page?.asset(name, headers['accept-encoding'])
      if (file === undefined)
        throw new ErrandError('not_found', `Nothing found at /assets/${name}.`, {
          hint: 'The hub may have a new version: reload the page.',
        })
      // A changed file gets a new name with each build.
      reply.header('cache-control', 'public, max-age=31536000, immutable').header('vary', 'accept-encoding')
      if (file.encoding !== undefined) reply.header('content-encoding', file.encoding)
      return (reply as FastifyReply).type(file.type).send(file.body)
    },
  } satisfies Partial<Handlers>
}

/** Paths that never belong to the page, whoever asks. */
const ofOthers = /^\/(api|assets|docs|health|metrics)(\/|$)/

/**
 * Sends the page if a person's browser asks for an address without a route, because the page itself knows its
 * addresses. Returns undefined if nothing was sent.
 */
export async function sendPage(
  page: BuiltPage | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const path = request.url.split('?', 1)[0]!
  if (page === undefined || request.method !== 'GET' || ofOthers.test(path)) return undefined
  if (!(request.headers.accept ?? '').includes('text/html')) return undefined
  const text = await page.index()
  if (text === undefined) return undefined
  return reply
    .code(200)
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': PAGE_POLICY,
      'x-frame-options': 'DENY',
      vary: 'accept',
    })
    .send(text)
}
