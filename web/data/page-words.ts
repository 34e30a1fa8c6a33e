/** A code of the API, such as `exit_code`, as a person reads it. */
export const wordsOf = (code: string): string => code.replaceAll('_', ' ')

/** The reason of a failure, with the number that the command ended with. */
export const reasonWords = (reason: string, exitCode?: number): string =>
  reason === 'exit_code' && exitCode !== undefined ? `${wordsOf(reason)} ${exitCode}` : wordsOf(reason)

/** What only a program that calls the API can do something with. */
const API_WORDS =
  /\b(GET|POST|PUT|PATCH|DELETE) \/|\/api\/|\bcurl\b|\bBearer\b|\bAuthorization\b|\bx-errand-|\b(content-type|idempotency-key)\b|\{"/i

/** Where in a request the fault is, as the hub names it: `body.steps[0].idle_seconds: `. */
const PLACE = /^(?:body|query|params)(?:\.([\w.[\]]+))?: /

/**
 * A message or hint of the hub, which also programs read, as the page shows it: without sentences that speak of requests, and with the
 * words of a field in place of its name in a request. Undefined: nothing is left.
 */
export function pageWords(text: string): string | undefined {
  const named = text.replace(PLACE, (_, field?: string) => {
    const last = field?.split('.').at(-1)
    return last === undefined ? '' : `${wordsOf(last)}: `
  })
  const left = named.split(/(?<=[.!?]) (?=\S)/).filter((sentence) => !API_WORDS.test(sentence))
  return left.length === 0 ? undefined : left.join(' ')
}
