import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'

/** A name and a password, or token, for one repository. */
export interface GitCredential {
  /** The address that it is for, as git is given it. */
  url: URL
  username: string
  password: string
}

/** The user's name that forges take with a token. */
export const TOKEN_USER = 'x-access-token'

/**
 * Git's side: it hands on the question over descriptor 3, and the answer back. The descriptor is a socket whose other end this
 * process has, so no argument, variable or file holds the password.
 */
export const CREDENTIAL_HELPER = [
  '!f() { [ "$1" = get ] || exit 0;',
  'while IFS= read -r l && [ -n "$l" ]; do printf "%s\\n" "$l" >&3; done; echo >&3;',
  'while IFS= read -r l <&3 && [ -n "$l" ]; do printf "%s\\n" "$l"; done; }; f',
].join(' ')

const MAX_QUESTION_LINES = 20

/**
 * Answers what git asks until it ends. Asked for another scheme, host, port or repository it answers nothing, and `tell` is
 * called; asked again for the right one, nothing either: the server did not take it.
 */
export function answerCredentials(
  socket: Duplex,
  credential: GitCredential,
  tell: (line: string) => void = () => undefined,
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
    const asked = Object.fromEntries(question.map((each) => each.split(/=(.*)/s).slice(0, 2)))
    question = []
    const isRight = isFor(asked, credential.url)
    const answer =
      isRight && !isAnswered
        ? [`username=${credential.username}`, `password=${credential.password}`]
        : ['quit=1']
    if (isRight) isAnswered = true
    else
      tell(
        `Git asked for credentials of ${shown(asked)}, which are not those of the repository: it got none.`,
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
