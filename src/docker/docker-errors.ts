import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../contract/errors.ts'
import { ForeignAnswer } from './docker-client.ts'

/** Describes an engine's error: it has a status if the engine answered, and a code if the connection failed. */
interface AnyFailure {
  statusCode?: number
  code?: string
  message: string
  json?: { message?: string }
}

const NOT_REACHED = [
  'ENOENT',
  'ECONNREFUSED',
  'EACCES',
  'EPERM',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'ETIMEDOUT',
]
/** Messages of registries and Docker vary widely; every text of theirs on which behavior depends is in this file. */
const UNAUTHORIZED =
  /unauthorized|no basic auth credentials|access to the resource is denied|pull access denied|authentication required|incorrect username or password/i
const UNKNOWN_IMAGE =
  /manifest unknown|manifest for .* not found|not found: manifest|name unknown|no matching manifest|no such image/i
const NO_REGISTRY =
  /dial tcp|no such host|i\/o timeout|connection refused|TLS handshake|Client\.Timeout|toomanyrequests|too many requests/i
/** Words before a quoted answer, which may come from a server to which the registry redirected the engine. */
const FOREIGN_TEXT = /(response body|decode token response|unmarshalling content): .*/s
const DISK_FULL = /no space left on device/i
const MOUNT_SYNTAX =
  /the --mount option requires BuildKit|Unknown flag: (mount|link|security|network)|requires BuildKit/i

/** Awaits a call to the engine and converts what it throws to an `ErrandError` that says what it was `doing`. */
export async function withDockerErrors<T>(doing: string, address: string, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw dockerError(doing, address, error)
  }
}

export function dockerError(doing: string, address: string, error: unknown): Error {
  if (error instanceof ErrandError || isAbort(error)) return error as Error
  if (error instanceof ForeignAnswer) return foreign(error)
  const failure = error as AnyFailure
  if (failure.statusCode === undefined && isNotReached(failure)) return notReached(address, error)
  const text = sentence(failure.json?.message ?? failure.message)
  if (DISK_FULL.test(text))
    return new ErrandError('disk_full', `Docker could not ${doing}: its disk is full.`, {
      hint: 'Free space where Docker keeps its data; `docker system df` shows what uses it.',
      cause: error,
    })
  return new ErrandError(codeOf(failure.statusCode), `Docker could not ${doing}: ${text}`, { cause: error })
}

/** Reports whether the connection failed, or delivered something other than HTTP. */
const isNotReached = ({ code = '' }: AnyFailure): boolean =>
  NOT_REACHED.includes(code) || code.startsWith('HPE_')

const foreign = (error: ForeignAnswer): ErrandError =>
  new ErrandError('unavailable', error.message, {
    hint: 'Check that Docker is at that address (DOCKER_HOST), with nothing in between.',
    cause: error,
  })

function codeOf(
  status: number | undefined,
): 'not_found' | 'conflict' | 'invalid_argument' | 'internal' | 'unavailable' {
  // A proxy in front of an engine that is away answers with these.
  if (status === 502 || status === 503 || status === 504) return 'unavailable'
  if (status === 404) return 'not_found'
  if (status === 409) return 'conflict'
  return status === 400 ? 'invalid_argument' : 'internal'
}

export function notReached(address: string, cause: unknown): ErrandError {
  if ((cause as AnyFailure | undefined)?.code?.startsWith('HPE_'))
    return new ErrandError(
      'unavailable',
      `Docker at ${address} does not answer as Docker does: it does not speak HTTP.`,
      {
        hint: 'Check that Docker is at that address (DOCKER_HOST), with nothing in between.',
        cause,
      },
    )
  const denied = ['EACCES', 'EPERM'].includes((cause as AnyFailure | undefined)?.code ?? '')
  return new ErrandError('unavailable', `Docker is not reachable at ${address}.`, {
    hint: denied
      ? 'Your user has no access to its socket: add the user to the group "docker", or set DOCKER_HOST.'
      : 'Start Docker, or set DOCKER_HOST.',
    cause,
  })
}

/** Returns the error for an engine that accepts calls and does not answer them. */
export const unanswered = (address: string, doing: string, withinMs: number): ErrandError =>
  new ErrandError(
    'unavailable',
    `Docker at ${address} hangs: it did not ${doing} within ${withinMs / 1000} s.`,
    {
      hint: 'Find out what blocks it; restarting Docker may help.',
    },
  )

/** Returns the error of a failed pull. The texts are the same whether the answer's status or its middle reports it. */
export function pullError(
  image: string,
  { registry, address, withAuth }: { registry: string; address: string; withAuth: boolean },
  error: unknown,
): Error {
  if (error instanceof ErrandError || isAbort(error)) return error as Error
  if (error instanceof ForeignAnswer) return foreign(error)
  const failure = error as AnyFailure
  const text = (failure.json?.message ?? failure.message).replace(FOREIGN_TEXT, '$1')
  const hint = (
    code: 'not_found' | 'pull_refused' | 'unavailable',
    message: string,
    hint: string,
  ): ErrandError => new ErrandError(code, message, { hint, cause: error })
  if (UNAUTHORIZED.test(text))
    return withAuth
      ? hint(
          'pull_refused',
          `The registry ${registry} refuses the credentials for ${image}.`,
          'Check the user name and the password.',
        )
      : hint(
          'pull_refused',
          `The registry ${registry} did not provide ${image}: it does not exist, or needs credentials.`,
          'Check its name, or provide credentials for its registry.',
        )
  if (UNKNOWN_IMAGE.test(text))
    return hint(
      'not_found',
      `Image ${image} not found: ${sentence(text)}`,
      'Check its name, tag and platform.',
    )
  if (NO_REGISTRY.test(text))
    return hint(
      'unavailable',
      `The registry of ${image} does not answer: ${sentence(text)}`,
      'Try again later.',
    )
  return dockerError(`pull ${image}`, address, { ...failure, message: text, json: undefined })
}

export function buildError(address: string, lines: readonly string[], error: unknown): Error {
  if (error instanceof ErrandError || isAbort(error)) return error as Error
  if (error instanceof ForeignAnswer) return foreign(error)
  const failure = error as AnyFailure
  if (failure.statusCode === undefined && isNotReached(failure)) return notReached(address, error)
  const text = failure.json?.message ?? failure.message
  return new ErrandError('build_failed', `The image could not be built: ${sentence(text)}`, {
    hint: buildHint(text),
    details: { lines },
    cause: error,
  })
}

function buildHint(text: string): string | undefined {
  if (MOUNT_SYNTAX.test(text))
    return 'Bots are built with the classic builder, which supports limits: remove what only BuildKit supports, such as RUN --mount.'
  if (UNAUTHORIZED.test(text) || UNKNOWN_IMAGE.test(text))
    return 'Check the image after FROM: it must be available without credentials.'
  if (/returned a non-zero code: 137/.test(text))
    return 'The command was killed, most likely because it used more memory or disk than a build may use.'
  if (DISK_FULL.test(text)) return 'Free space where Docker keeps its data.'
  return undefined
}

/** Reports whether the engine says that the object does not exist (404). */
export const isGone = (error: unknown): boolean => (error as AnyFailure).statusCode === 404
export const isConflict = (error: unknown): boolean => (error as AnyFailure).statusCode === 409
export const isBeingRemoved = (error: unknown): boolean =>
  isConflict(error) && /already in progress/.test((error as AnyFailure).message)

/** Reports whether the container itself is missing: engines also answer 404 if it needs a missing network or volume. */
export const isNoContainer = (error: unknown): boolean =>
  isGone(error) && /no such container/i.test((error as AnyFailure).json?.message ?? '')
export const isNoImage = (error: unknown): boolean =>
  isGone(error) && /no such image/i.test((error as AnyFailure).json?.message ?? '')

/** Reports whether a call was ended by its timeout. */
export const isTimeout = (error: unknown): boolean => {
  const { name, cause } = error as Error
  return name === 'TimeoutError' || (cause as Error | undefined)?.name === 'TimeoutError'
}

const isAbort = (error: unknown): boolean => (error as Error)?.name === 'AbortError'

function sentence(text: string): string {
  const one = text.replace(/\s+/g, ' ').trim()
  return /[.!?]$/.test(one) ? one : `${one}.`
}

const TRIES = 8
const FIRST_WAIT_MS = 20
/** Docker's messages for a lost image or layer; a build sends them in its stream, other calls with status 500. */
const LOST =
  /^(\(HTTP code 500\) server error - )?(unrecognized image ID|failed to export image: failed to set parent|failed to get digest|failed to get destination image)/

/**
 * Repeats a call, up to 8 times in all, that fails because another process removes an image at that moment: Docker then
 * fails calls that list images or build on cached layers. Calls `again` before each repetition.
 */
export async function despiteRemovals<T>(
  call: () => Promise<T>,
  again: () => void = () => undefined,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await call()
    } catch (error) {
      if (tried === TRIES || !LOST.test((error as Error).message)) throw error
      again()
      await sleep(FIRST_WAIT_MS * 2 ** tried)
    }
  }
}
