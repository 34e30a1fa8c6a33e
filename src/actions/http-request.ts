import { HttpRequestArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Milliseconds of silence after which a request fails; the default of Node's own fetch. */
const SILENCE_MS = 300_000

/** Sends a request; the answer's body becomes the step's stdout. Gives up when nothing arrives for `silenceMs`. */
export const httpRequestWithin = (silenceMs = SILENCE_MS): Action => ({
  kind: 'inline',
  async run(spec, { signal, apart, write, shown }) {
    const args = parseArguments(HttpRequestArgs, spec)
    if (apart)
      throw new ErrandError(
        'invalid_argument',
        'http.request is sent by the runner itself, so a step in a sandbox cannot use it.',
        {
          hint: 'Use cmd.run with curl instead, which goes through the sandbox and its network rules.',
        },
      )
    const url = parseUrl(args.url)
    const name = `${args.method} ${shown(args.url).split(/[?#]/, 1)[0]}`
    const silence = new AbortController()
    const silent = setTimeout(
      () => silence.abort(new Error(`nothing was received for ${silenceMs / 1000} s`)),
      silenceMs,
    )
    let request: Request
    try {
      // Use a separate connection: the other side may be closing one that an earlier step left open.
      const headers = { ...args.headers, connection: 'close' }
      request = new Request(url, {
        ...{ method: args.method, headers, body: args.body },
        signal: AbortSignal.any([signal, silence.signal]),
      })
    } catch (cause) {
      clearTimeout(silent)
      throw new ErrandError('invalid_argument', `${name} cannot be sent: ${rootMessage(cause)}`, {
        hint: 'Correct the headers or the body in args.',
        cause,
      })
    }
    let response: Response | undefined
    try {
      response = await fetch(request)
      for await (const chunk of response.body ?? []) {
        silent.refresh()
        await write('stdout', Buffer.from(chunk))
      }
    } catch (cause) {
      if (signal.aborted) {
        const missing = response === undefined ? 'the server answered' : 'the answer was complete'
        throw new ErrandError('host_unreachable', `${name} was stopped before ${missing}.`, { cause })
      }
      if (cause instanceof ErrandError) throw cause
      throw new ErrandError('host_unreachable', `${name} failed: ${rootMessage(cause)}.`, {
        hint: 'Check the URL, and that this machine can reach it.',
        cause,
      })
    } finally {
      clearTimeout(silent)
    }
    const fine = args.expect_status?.includes(response.status) ?? response.ok
    if (!fine)
      throw new ErrandError(
        'host_refused',
        `${name} answered ${response.status} ${response.statusText}`.trimEnd() +
          `; expected ${args.expect_status?.join(' or ') ?? '2xx'}.`,
      )
    return {}
  },
})

export const httpRequest = httpRequestWithin()

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.username || url?.password)
    throw new ErrandError('invalid_argument', `args.url contains a user name or a password.`, {
      hint: 'Send them as a header: {authorization: "Basic <base64 of name:password>"}.',
    })
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new ErrandError('invalid_argument', `args.url "${text}" is not an http or https URL.`, {
    hint: 'Write the full URL, such as https://example.org/path.',
  })
}

/** Returns the message of the innermost cause: fetch itself only says "fetch failed". */
function rootMessage(error: unknown): string {
  const { cause, message, code } = error as NodeJS.ErrnoException
  return cause === undefined ? message || code || String(error) : rootMessage(cause)
}
