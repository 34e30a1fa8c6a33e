import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as immediate } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import { FairSemaphore } from '../../../platform/fair-semaphore.ts'
import { passedLimit } from '../../../platform/untrusted-input.ts'
import type { ApiApp, ApiLimits } from '../api-context.ts'
import { answerBrokenRequest } from './error-answers.ts'

/** Limits the depth of a body. A deeper one can be parsed, but walking through it might overflow the stack. */
const MOST_DEEP = 1_000
/**
 * Limits the entries of a body. Each may be a fault, which costs more time than its bytes did. A workflow of 10,000
 * steps has about half as many.
 */
const MOST_ENTRIES = 100_000

/** Parses JSON, where an empty body counts as no body, and YAML, which stands for `{yaml: <the text>}`. */
export function readBodies(app: ApiApp, { requestMs }: Pick<ApiLimits, 'requestMs'>): void {
  app.addHook('onRequest', async (request, reply) => arrivesWithin(request.raw, reply.raw, requestMs))
  // By then it is known that the sender may use the route.
  app.addHook('preParsing', async ({ raw, routeOptions }) => {
    if (routeOptions.config.route?.endless) arrivesSteadily(raw, requestMs)
  })
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  const serialize = largeBodySerializer()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const route = request.routeOptions.config.route
    if (route?.raw) return done(null, body)
    if (route?.archive) return done(notAccepted(request, BYTES))
    if (body === '') return done(null, undefined)
    serialize(request, body as string, (later) => {
      void json(request, body as string, (error, value) => {
        if (error === null) {
          const refused = tooMuch(value)
          // What follows walks through all of it once more.
          return later(() => done(refused, value))
        }
        const refused = refusedName(body as string)
        if (refused) return done(refused)
        done(
          new ErrandError('bad_request', `The body is not valid JSON: ${withoutBody(error.message)}`, {
            hint: 'Send JSON with the content type application/json. You may send a workflow as application/yaml.',
          }),
        )
      })
    })
  })
  // The route reads it as it arrives.
  app.addContentTypeParser('multipart/form-data', (request, payload, done) => {
    if (request.routeOptions.config.route?.form) return done(null, payload)
    done(
      new ErrandError('unsupported_media_type', 'This route does not accept a form.', {
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
    done(notAccepted(request, 'Send JSON.'))
  })
  const yaml = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml']
  app.addContentTypeParser(yaml, { parseAs: 'string' }, (request, body, done) => {
    if (request.routeOptions.config.route?.archive) return done(notAccepted(request, BYTES))
    serialize(request, body as string, () => done(null, { yaml: body }))
  })
}

const BYTES = 'Send the bytes of the file with the content type application/octet-stream.'

const notAccepted = ({ headers }: FastifyRequest, hint: string): ErrandError =>
  new ErrandError(
    'unsupported_media_type',
    `This route does not accept a body of the type ${headers['content-type']}.`,
    {
      hint,
    },
  )

/** Length of a text from which reading and checking it may delay other requests noticeably. */
const LARGE_LENGTH = 64 * 1024

/**
 * Returns a function that continues with a body that has arrived. Large bodies are handled one by one, each in its
 * own turn of the event loop, so that other requests are answered in between. Users take turns, so none delays the
 * others. What `goOn` passes to `later` gets another turn, before the next body.
 */
function largeBodySerializer(): (
  request: FastifyRequest,
  body: string,
  goOn: (later: Later) => void,
) => void {
  const semaphore = new FairSemaphore(1)
  return ({ identity, runnerTenant }, body, goOn) => {
    if (body.length < LARGE_LENGTH) return goOn((rest) => rest())
    const { tenant = runnerTenant, name = '' } = (identity as typeof identity | null)?.user ?? {}
    void semaphore.acquire(`${tenant}/${name}`).then(async (turn) => {
      using _turn = turn
      let left: (() => void) | undefined
      goOn((rest) => {
        left = rest
      })
      if (left === undefined) return
      await immediate()
      left()
    })
  }
}
type Later = (rest: () => void) => void

const deadlines = new WeakMap<IncomingMessage, NodeJS.Timeout>()

/** Ends the connection if the body has not arrived whole by then. */
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

/** Ends the connection once no byte has arrived for `ms`, and not before. */
function arrivesSteadily(request: IncomingMessage, ms: number): void {
  clearTimeout(deadlines.get(request))
  request.setTimeout(ms, () => request.socket.destroy())
}

function tooMuch(body: unknown): ErrandError | null {
  const passed = passedLimit(body, { entries: MOST_ENTRIES, depth: MOST_DEEP })
  if (passed === undefined) return null
  return passed === 'entries' ? tooMany() : tooDeep()
}

const tooMany = (): ErrandError =>
  new ErrandError(
    'body_too_large',
    `The lists and objects in the body have more than ${MOST_ENTRIES} entries.`,
    {
      hint: 'Split it. You may send a workflow as the text of a file.',
      details: { limit_entries: MOST_ENTRIES },
    },
  )

const tooDeep = (): ErrandError =>
  new ErrandError('bad_request', `The body is nested more than ${MOST_DEEP} levels deep.`, {
    hint: 'Reduce the nesting, for example by sending the deep part as a text.',
  })

/** Removes the part of the body from a parser's message: a body may contain a secret. */
const withoutBody = (message: string): string =>
  message.replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '')

const SHOWN_CHARACTERS = 200

/**
 * Explains why Fastify's parser refuses a body that is JSON: it names the key that it takes for an attack, and where
 * that is. Returns undefined if the body is not JSON.
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
      return refusal(where, '"constructor" if it has a "prototype"')
    const found = refusedIn(inner, `${where}.${key}`)
    if (found) return found
  }
  return undefined
}

const refusal = (where: string, what: string) =>
  new ErrandError('bad_request', `${where.slice(0, SHOWN_CHARACTERS)}: a key cannot be named ${what}.`, {
    hint: 'Choose another name.',
  })
