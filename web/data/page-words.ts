/** Returns a code of the API, such as `exit_code`, in words for people. */
export const wordsOf = (code: string): string => code.replaceAll('_', ' ')

/** Returns the reason of a failure in words, with the exit code of the command. */
export const reasonWords = (reason: string, exitCode?: number): string =>
  reason === 'exit_code' && exitCode !== undefined ? `${wordsOf(reason)} ${exitCode}` : wordsOf(reason)

/** Matches words that are of use only to a program that calls the API. */
const API_WORDS =
  /\b(GET|POST|PUT|PATCH|DELETE) \/|\/api\/|\bcurl\b|\bBearer\b|\bAuthorization\b|\bx-errand-|\b(content-type|idempotency-key)\b|\{"/i

/** Matches the place of a fault in a request, as the hub names it: `body.steps[0].idle_seconds: `. */
const PLACE = /^(?:body|query|params)(?:\.([\w.[\]]+))?: /

/**
 * Rewrites a message or hint of the hub for the page. It drops sentences about requests, and replaces the place of a
 * fault with the words of its field. Returns undefined if nothing is left.
 */
export function pageWords(text: string): string | undefined {
  const named = text.replace(PLACE, (_, field?: string) => {
    const last = field?.split('.').at(-1)
    return last === undefined ? '' : `${wordsOf(last)}: `
  })
  const left = named.split(/(?<=[.!?]) (?=\S)/).filter((sentence) => !API_WORDS.test(sentence))
  return left.length === 0 ? undefined : left.join(' ')
}
