import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as immediate } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import { FairTurns } from '../../../platform/fair-turns.ts'
import { passedLimit } from '../../../platform/untrusted-input.ts'
import type { ApiApp, ApiLimits } from '../api-context.ts'
import { answerBrokenRequest } from './error-answers.ts'

/** Deepest body that is taken: a deeper one is read, but cannot surely be gone through on the stack. */
const MOST_DEEP = 1_000
/** Each may be a fault, which takes the processor longer than its bytes did. A workflow of 10,000 steps has about half as many. */
const MOST_ENTRIES = 100_000

/** JSON, where an empty body is none; and YAML, which stands for `{yaml: <the text>}`. */
export function readBodies(app: ApiApp, { requestMs }: Pick<ApiLimits, 'requestMs'>): void {
  app.addHook('onRequest', async (request, reply) => arrivesWithin(request.raw, reply.raw, requestMs))
  // By then it is known that the sender may use the route.
  app.addHook('preParsing', async ({ raw, routeOptions }) => {
    if (routeOptions.config.route?.endless) arrivesSteadily(raw, requestMs)
  })
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  const inTurn = takingTurns()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const route = request.routeOptions.config.route
    if (route?.raw) return done(null, body)
    if (route?.archive) return done(notTaken(request, BYTES))
    if (body === '') return done(null, undefined)
    inTurn(request, body as string, (later) => {
      void json(request, body as string, (error, value) => {
        if (error === null) {
          const refused = tooMuch(value)
          // What follows goes through all of it once more.
          return later(() => done(refused, value))
        }
        const refused = refusedName(body as string)
        if (refused) return done(refused)
        done(
          new ErrandError('bad_request', `The body is not valid JSON: ${withoutBody(error.message)}`, {
            hint: 'Send JSON with the content type application/json; a workflow may be sent as application/yaml.',
          }),
        )
      })
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
    done(notTaken(request, 'Send JSON.'))
  })
  const yaml = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml']
  app.addContentTypeParser(yaml, { parseAs: 'string' }, (request, body, done) => {
    if (request.routeOptions.config.route?.archive) return done(notTaken(request, BYTES))
    inTurn(request, body as string, () => done(null, { yaml: body }))
  })
}

const BYTES = 'Send the bytes of the file with the content type application/octet-stream.'

const notTaken = ({ headers }: FastifyRequest, hint: string): ErrandError =>
  new ErrandError(
    'unsupported_media_type',
    `This address does not accept a body of ${headers['content-type']}.`,
    {
      hint,
    },
  )

/** From this length on, reading and checking a body may take long enough for others to notice. */
const LARGE_LENGTH = 64 * 1024

/**
 * Returns how to go on with a body that has come: with large ones one by one, each in a round of the event loop of its own, so
 * that other requests are answered in between, and those of one user hold up no other user's. What `goOn` leaves for later has
 * another round, before the next body.
 */
function takingTurns(): (request: FastifyRequest, body: string, goOn: (later: Later) => void) => void {
  const turns = new FairTurns(1)
  return ({ identity, runnerTenant }, body, goOn) => {
    if (body.length < LARGE_LENGTH) return goOn((rest) => rest())
    const { tenant = runnerTenant, name = '' } = (identity as typeof identity | null)?.user ?? {}
    void turns.take(`${tenant}/${name}`).then(async (turn) => {
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

function tooMuch(body: unknown): ErrandError | null {
  const passed = passedLimit(body, { entries: MOST_ENTRIES, depth: MOST_DEEP })
  if (passed === undefined) return null
  return passed === 'entries' ? tooMany() : tooDeep()
}

const tooMany = (): ErrandError =>
  new ErrandError('body_too_large', `The lists and objects of the body have over ${MOST_ENTRIES} entries.`, {
    hint: 'Split it. A workflow may be sent as the text of a file.',
    details: { limit_entries: MOST_ENTRIES },
  })

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
