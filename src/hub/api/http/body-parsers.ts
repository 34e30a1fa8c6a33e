import type { IncomingMessage, ServerResponse } from 'node:http'
import { ErrandError } from '../../../contract/errors.ts'
import { isNestedDeeper } from '../../../platform/untrusted-input.ts'
import type { ApiApp, ApiLimits } from '../api-context.ts'
import { answerBrokenRequest } from './error-answers.ts'

/** Deepest body that is taken: a deeper one is read, but cannot surely be gone through on the stack. */
const MOST_DEEP = 1_000

/** JSON, where an empty body is none; and YAML, which stands for `{yaml: <the text>}`. */
export function readBodies(app: ApiApp, { requestMs }: Pick<ApiLimits, 'requestMs'>): void {
  app.addHook('onRequest', async (request, reply) => arrivesWithin(request.raw, reply.raw, requestMs))
  // By then it is known that the sender may use the route.
  app.addHook('preParsing', async ({ raw, routeOptions }) => {
    if (routeOptions.config.route?.endless) arrivesSteadily(raw, requestMs)
  })
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (request.routeOptions.config.route?.raw) return done(null, body)
    if (body === '') return done(null, undefined)
    void json(request, body as string, (error, value) => {
      if (error === null) return isNestedDeeper(value, MOST_DEEP) ? done(tooDeep()) : done(null, value)
      const refused = refusedName(body as string)
      if (refused) return done(refused)
      done(
        new ErrandError('bad_request', `The body is not valid JSON: ${withoutBody(error.message)}`, {
          hint: 'Send JSON with the content type application/json; a workflow may be sent as application/yaml.',
        }),
      )
    })
  })
  // Read by the route, as they come.
  app.addContentTypeParser('multipart/form-data', (request, payload, done) => {
    if (request.routeOptions.config.route?.form) return done(null, payload)
    done(
      new ErrandError('unsupported_media_type', 'A form is not taken here.', {
        hint: 'Send JSON.',
      }),
    )
  })
  const archives = [
    'application/zip',
    'application/gzip',
    'application/x-gzip',
    'application/x-tar',
    'application/octet-stream',
  ]
  app.addContentTypeParser(archives, (request, payload, done) => {
    if (request.routeOptions.config.route?.archive) return done(null, payload)
    done(
      new ErrandError(
        'unsupported_media_type',
        `A body of ${request.headers['content-type']} is not taken here.`,
        {
          hint: 'Send JSON.',
        },
      ),
    )
  })
  const yaml = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml']
  app.addContentTypeParser(yaml, { parseAs: 'string' }, (_request, body, done) => done(null, { yaml: body }))
}

const deadlines = new WeakMap<IncomingMessage, NodeJS.Timeout>()

/** Ends the connection where the body has not come whole by then. */
export function arrivesWithin(request: IncomingMessage, response: ServerResponse, ms: number): void {
  const { socket, headers } = request
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return
  const late = () => {
    if (request.complete) return
    if (response.headersSent) return void socket.destroy()
    answerBrokenRequest({ code: 'ERR_HTTP_REQUEST_TIMEOUT' }, socket)
    socket.destroySoon()
  }
  const timer = setTimeout(late, ms).unref()
  deadlines.set(request, timer)
  request.once('close', () => clearTimeout(timer))
}

/** Ends the connection where no byte has come for so long, and not before. */
function arrivesSteadily(request: IncomingMessage, ms: number): void {
  clearTimeout(deadlines.get(request))
  request.setTimeout(ms, () => request.socket.destroy())
}

const tooDeep = (): ErrandError =>
  new ErrandError('bad_request', `The body is over ${MOST_DEEP} lists or objects deep.`, {
    hint: 'Send it flatter: what is deep may stand in a text.',
  })

/** A parser's message without the part of the body that it shows: a body may hold a secret. */
const withoutBody = (message: string): string =>
  message.replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '')

const SHOWN_CHARACTERS = 200

/**
 * Of a body that Fastify's parser refuses though it is JSON: the name that it takes for an attack, and where that stands.
 * Undefined: it is no JSON.
 */
function refusedName(body: string): ErrandError | undefined {
  try {
    return refusedIn(JSON.parse(body), 'body')
  } catch {
    return undefined
  }
}

function refusedIn(value: unknown, where: string): ErrandError | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') return refusal(where, '"__proto__"')
    if (
      key === 'constructor' &&
      typeof inner === 'object' &&
      inner !== null &&
      Object.hasOwn(inner, 'prototype')
    )
      return refusal(where, '"constructor" that has a "prototype"')
    const found = refusedIn(inner, `${where}.${key}`)
    if (found) return found
  }
  return undefined
}

const refusal = (where: string, what: string) =>
  new ErrandError('bad_request', `${where.slice(0, SHOWN_CHARACTERS)}: nothing can be named ${what}.`, {
    hint: 'Choose another name.',
  })
