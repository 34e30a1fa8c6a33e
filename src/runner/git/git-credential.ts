import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'

/** Name and password, or token, for one repository. */
export interface GitCredential {
  /** Address that it is for, as Git gets it. */
  url: URL
  username: string
  password: string
}

/** User name that forges accept with a token. */
export const TOKEN_USER = 'x-access-token'

/**
 * Script of Git's side: it passes the question over descriptor 3, and the answer back. The descriptor is a socket whose
 * other end this process has, so no argument, variable or file contains the password.
 */
export const CREDENTIAL_HELPER = [
  '!f() { [ "$1" = get ] || exit 0;',
  'while IFS= read -r l && [ -n "$l" ]; do printf "%s\\n" "$l" >&3; done; echo >&3;',
  'while IFS= read -r l <&3 && [ -n "$l" ]; do printf "%s\\n" "$l"; done; }; f',
].join(' ')

const MAX_QUESTION_LINES = 20

/**
 * Answers Git's questions until it ends. A question for another scheme, host, port or repository gets no answer, and
 * calls `tell`. A repeated question for the right one gets no answer either: the server did not accept it.
 */
export function answerCredentials(
  socket: Duplex,
  credential: GitCredential,
  report: (line: string) => void = () => undefined,
): void {
  let question: string[] = []
  let isAnswered = false
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
  socket.on('error', () => lines.close())
  lines.on('error', () => undefined)
  lines.on('line', (line) => {
    if (line !== '') {
      question.push(line)
      if (question.length > MAX_QUESTION_LINES) socket.destroy()
      return
    }
    const fields = Object.fromEntries(question.map((each) => each.split(/=(.*)/s).slice(0, 2)))
    question = []
    const isRight = isFor(fields, credential.url)
    const answer =
      isRight && !isAnswered
        ? [`username=${credential.username}`, `password=${credential.password}`]
        : ['quit=1']
    if (isRight) isAnswered = true
    else
      report(
        `Git asked for credentials for ${shown(fields)} and got none: they are not those of the repository.`,
      )
    socket.write(`${answer.join('\n')}\n\n`)
  })
}

function isFor({ protocol, host, path }: Record<string, string>, url: URL): boolean {
  const bare = (text: string) => text.replace(/^\/+|\/+$/g, '')
  const isSame = protocol === `${url.protocol.slice(0, -1)}` && host?.toLowerCase() === url.host
  return isSame && path !== undefined && bare(decoded(path)) === bare(decoded(url.pathname))
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const shown = ({ protocol = '?', host = '?', path = '' }: Record<string, string>): string =>
  `${protocol}://${host}/${path}`.slice(0, 200).replace(/\p{Cc}/gu, ' ')
